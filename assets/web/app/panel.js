/**
 * The panel beside, on a phone below, the picture: people, recordings, facts.
 * @module
 */

import { byID } from './dom.js';
import { FactsView } from './facts.js';
import { PeopleView } from './people.js';
import { RecordingsView } from './recordings.js';

const TABS = ['people', 'recordings', 'facts'];
/** How often the levels of the people are asked for while they are shown. */
const POLL_MS = 2500;

/** The side panel of one room. */
export class Panel {
  #room;
  #people;
  #recordings;
  #facts;
  #tab = 'people';
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #poll;

  /**
   * @param {import('../tutti.js').Room} room
   * @param {AbortSignal} signal ends everything
   */
  constructor(room, signal) {
    this.#room = room;
    this.#people = new PeopleView(room, signal);
    this.#recordings = new RecordingsView(room);
    this.#facts = new FactsView(room, signal);
    const options = { signal };
    for (const tab of TABS) byID(`tab-${tab}`).addEventListener('click', () => this.select(tab), options);
    byID('panel-close').addEventListener('click', () => this.#show(false), options);
    byID('facts-chip').addEventListener('click', () => this.select('facts'), options);
    document.querySelector('.tabs')?.addEventListener('keydown', (event) => this.#onKey(/** @type {any} */ (event)), options);
  }

  /** The room has been entered. */
  open() {
    this.#tab = 'people';
    this.#paintTabs();
    this.#show(matchMedia('(min-width: 900px), (orientation: portrait)').matches);
    this.#poll = setInterval(() => this.#look(), POLL_MS);
  }

  /** The room has been left. */
  close() {
    clearInterval(this.#poll);
  }

  /** Opens the panel, or closes it. */
  toggle() {
    this.#show(byID('panel').hidden);
  }

  /**
   * Opens the panel at a tab.
   * @param {string} tab
   */
  select(tab) {
    this.#tab = tab;
    this.#paintTabs();
    this.#show(true);
  }

  /** @param {import('../tutti.js').Recording[]} recordings */
  showRecordings(recordings) {
    this.#recordings.show(recordings);
  }

  #look() {
    if (byID('panel').hidden || this.#tab !== 'people' || document.hidden) return;
    this.#room.refreshParticipants().catch(() => {}); // the next one may work
  }

  /** @param {boolean} shown */
  #show(shown) {
    byID('panel').hidden = !shown;
    byID('stage').classList.toggle('with-panel', shown);
    byID('key-panel').setAttribute('aria-pressed', String(shown));
    byID('key-panel').title = shown ? 'Hide the panel' : 'Who is here';
  }

  #paintTabs() {
    for (const tab of TABS) {
      const selected = tab === this.#tab;
      byID(`tab-${tab}`).setAttribute('aria-selected', String(selected));
      byID(`tab-${tab}`).tabIndex = selected ? 0 : -1;
      byID(tab).hidden = !selected;
    }
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    const tabs = TABS.filter((tab) => !byID(`tab-${tab}`).hidden);
    const next = tabs[(tabs.indexOf(this.#tab) + step + tabs.length) % tabs.length];
    this.select(next);
    byID(`tab-${next}`).focus();
  }
}
