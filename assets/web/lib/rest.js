/**
 * The HTTP side: bearer token, problem+json, pages.
 * @module
 */

/**
 * A refusal of the server (RFC 9457), or a failure to reach it (status 0 and
 * code "network").
 */
export class TuttiError extends Error {
  name = 'TuttiError';

  /**
   * @param {string} message
   * @param {object} [fields]
   * @param {number} [fields.status] HTTP status; 0 where there was no answer
   * @param {string} [fields.code] stable word, such as room_not_found
   * @param {string} [fields.title]
   * @param {string} [fields.detail]
   * @param {string} [fields.field] the field to blame, if one is
   * @param {number} [fields.retryAfterMs] what the server asks to wait; 0 for nothing
   * @param {unknown} [fields.cause]
   */
  constructor(message, fields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.status = fields.status ?? 0;
    this.code = fields.code ?? 'unknown';
    this.title = fields.title ?? '';
    this.detail = fields.detail ?? '';
    this.field = fields.field ?? '';
    this.retryAfterMs = fields.retryAfterMs ?? 0;
  }
}

/**
 * Reads Retry-After (RFC 9110, section 10.2.3).
 * @param {string | null} value seconds or an HTTP date
 * @param {number} now milliseconds since the epoch
 * @returns {number} milliseconds; 0 where there is none
 */
export function retryAfter(value, now) {
  if (!value) return 0;
  if (/^\d+$/.test(value.trim())) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? 0 : Math.max(0, at - now);
}

/**
 * Makes the error of a response that is not a success. A body that is no
 * problem+json, as from a proxy in between, leaves the status line to speak.
 * @param {Response} response
 * @returns {Promise<TuttiError>}
 */
export async function problemOf(response) {
  const type = response.headers.get('Content-Type') ?? '';
  /** @type {any} */
  let problem = {};
  if (/^application\/(problem\+)?json\b/.test(type)) {
    problem = await response.json().catch(() => ({}));
  }
  const title = String(problem.title ?? response.statusText ?? '');
  const detail = String(problem.detail ?? '');
  return new TuttiError(detail || title || `HTTP ${response.status}`, {
    status: response.status,
    code: String(problem.code ?? `http_${response.status}`),
    title,
    detail,
    field: String(problem.field ?? ''),
    retryAfterMs: retryAfter(response.headers.get('Retry-After'), Date.now()),
  });
}

/** Speaks HTTP to one server with one token. */
export class Rest {
  #base;
  #token;

  /**
   * @param {string} base address of the server; paths are resolved against it
   * @param {string} [token] bearer token; empty sends none
   */
  constructor(base, token = '') {
    this.#base = base;
    this.#token = token;
  }

  /**
   * The absolute address of a path of the API.
   * @param {string} path
   * @returns {string}
   */
  address(path) {
    return new URL(path, this.#base).href;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [options]
   * @param {string} [options.body]
   * @param {string} [options.type] media type of the body
   * @param {Record<string, string>} [options.headers]
   * @param {boolean} [options.keepalive] the request outlives the page
   * @param {AbortSignal} [options.signal]
   * @returns {Promise<Response>} a success; everything else is thrown
   * @throws {TuttiError}
   */
  async send(method, path, { body, type, headers = {}, keepalive = false, signal } = {}) {
    const all = { ...headers };
    if (this.#token) all.Authorization = `Bearer ${this.#token}`;
    if (type) all['Content-Type'] = type;
    let response;
    try {
      response = await fetch(this.address(path), {
        method, body, headers: all, keepalive, signal, cache: 'no-store',
      });
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      throw new TuttiError('The server cannot be reached.', { code: 'network', cause });
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  /**
   * Sends JSON, where there is any, and answers JSON, where there is any.
   * @param {string} method
   * @param {string} path
   * @param {unknown} [value]
   * @param {object} [options]
   * @param {string} [options.type] media type of the body
   * @param {AbortSignal} [options.signal]
   * @returns {Promise<any>}
   */
  async json(method, path, value, { type = 'application/json', signal } = {}) {
    const response = value === undefined
      ? await this.send(method, path, { signal })
      : await this.send(method, path, { body: JSON.stringify(value), type, signal });
    const text = await response.text();
    return text === '' ? null : JSON.parse(text);
  }

  /**
   * Changes a part of a resource (RFC 7396).
   * @param {string} path
   * @param {unknown} patch
   * @returns {Promise<any>}
   */
  merge(path, patch) {
    return this.json('PATCH', path, patch, { type: 'application/merge-patch+json' });
  }

  /**
   * All pages of a list.
   * @param {string} path it may have a query
   * @param {string} key the field of the answer that holds the items
   * @returns {Promise<any[]>}
   */
  async list(path, key) {
    const items = [];
    let page = '';
    do {
      const query = `page_size=500${page && `&page_token=${encodeURIComponent(page)}`}`;
      const answer = await this.json('GET', `${path}${path.includes('?') ? '&' : '?'}${query}`);
      items.push(...(answer[key] ?? []));
      page = answer.next_page_token ?? '';
    } while (page);
    return items;
  }
}
