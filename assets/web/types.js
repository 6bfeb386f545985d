/**
 * The types of what tutti.js takes and answers, as JSDoc; nothing to run.
 * @module
 */

/**
 * - connecting: the first attempt
 * - connected: media flows
 * - reconnecting: the session was lost and is being made anew
 * - left: before joining, after leaving, and when there is no way back
 * @typedef {'connecting' | 'connected' | 'reconnecting' | 'left'} RoomState
 */

/**
 * @typedef {object} Layout
 * @property {string} name auto, grid, speaker
 * @property {number} [max_tiles]
 */

/**
 * @typedef {object} Participant
 * @property {string} id
 * @property {string} name
 * @property {'participant' | 'publisher' | 'viewer'} role
 * @property {string} state
 * @property {string} joined_at RFC 3339
 * @property {{muted: boolean, level_dbov: number, speaking: boolean}} [audio] absent: sends no sound
 * @property {{muted: boolean, codec?: string, width: number, height: number, fps: number}} [video]
 */

/**
 * @typedef {object} Recording
 * @property {string} id
 * @property {string} state starting, active, paused, ending, complete, failed
 * @property {string} started_at RFC 3339
 * @property {string} [ended_at]
 * @property {number} bytes
 * @property {number} duration_s
 * @property {{name: string, bytes: number}[]} files
 */

/**
 * What the `detail` of each event of a Room holds.
 * @typedef {object} RoomEvents
 * @property {{participant: string, watching: boolean}} joined media flows for the first time
 * @property {{reason: string, error: unknown}} left reason is left, removed, room_closed, lost, failed or page_closed
 * @property {{state: RoomState, reason: string}} state
 * @property {{stream: MediaStream}} media a stream to show; a new one after each reconnection
 * @property {{participants: Participant[]}} participants
 * @property {{participant: {id: string, name: string} | null}} speaker null: nobody speaks
 * @property {Layout} layout
 * @property {{recording?: {id: string, state: string}, time?: string}} recording something changed; without a recording: look at the list
 * @property {import('./lib/stats.js').StreamStats} stats once a second
 * @property {{kind: import('./lib/media.js').Kind, muted: boolean, byServer: boolean}} muted
 * @property {{error: unknown, kind?: import('./lib/media.js').Kind}} error nothing that ends the room
 * @property {Record<string, unknown>} event each event of the server, as it came
 */

export {};
