/**
 * The page: from the lobby into a room and back.
 * @module
 */

import { Room } from '../tutti.js';
import { byID } from './dom.js';
import { drawIcons } from './icons.js';
import { Lobby } from './lobby.js';
import { readParams } from './params.js';
import { Stage } from './stage.js';
import { toast } from './toast.js';
import { explain, explainLeaving } from './words.js';

const params = readParams();
drawIcons(document);
const lobby = new Lobby(params, enter);

/** @param {'lobby' | 'stage'} view */
function show(view) {
  document.documentElement.dataset.view = view;
  byID('lobby').hidden = view !== 'lobby';
  byID('stage').hidden = view !== 'stage';
}

/** @param {import('./lobby.js').Entry} entry */
async function enter({ room: id, name, media }) {
  const room = new Room({ room: id, name, token: params.token });
  Object.assign(globalThis, { tutti: { room } }); // for the console
  room.addEventListener('state', (/** @type {any} */ { detail }) => {
    document.documentElement.dataset.state = detail.state;
  });
  room.addEventListener('error', (/** @type {any} */ { detail }) => {
    toast(explain(detail.error, detail.kind), 'error');
  });
  lobby.busy('Going in…');
  const stage = new Stage(room);
  try {
    await (media ? room.join(media) : room.watch());
  } catch (error) {
    stage.close();
    toast(explain(error), 'error');
    lobby.show();
    return;
  }
  lobby.hide();
  show('stage');
  stage.open();
  room.addEventListener('left', (/** @type {any} */ { detail }) => leave(stage, detail), { once: true });
}

/**
 * @param {Stage} stage
 * @param {{reason: string, error: unknown}} why
 */
function leave(stage, { reason, error }) {
  stage.close();
  show('lobby');
  const words = explainLeaving(reason, error);
  if (words) toast(words, 'error');
  lobby.show();
}

show('lobby');
if (params.watch) lobby.enter(true);
else if (params.autojoin) lobby.enter(false);
else lobby.show();
