// Plays sessions in real editors and writes what a server is sent to e2e/data/editors.
//
//   npm ci && npm run record [-- NAME ...]
//
// NAME is an editor, such as `quill`; without one all are played. The same versions give the same files.

import './fixed.mjs'
import { Random } from '../differential/random.mjs'
import { saveRecording } from '../lib/recording.mjs'
import { restart } from './fixed.mjs'
import { Room } from './room.mjs'

/** For each editor its sessions, each a file. */
const EDITORS = ['codemirror', 'quill']
const SESSIONS = [
  { people: 3, gc: true, actions: 500 },
  { people: 2, gc: false, actions: 300 },
]

async function record(editor, number, { people, gc, actions }) {
  const { Editor } = await import(`./editors/${editor}.mjs`)
  const seed = 1 + EDITORS.indexOf(editor) * SESSIONS.length + number
  restart(seed)
  const random = new Random(seed)
  const room = new Room(random, { people, gc })
  const settle = () => new Promise((resolve) => setTimeout(resolve, 0))
  const editors = []
  for (const { doc } of room.people) {
    editors.push(new Editor(doc, random))
    await settle()
  }
  for (let action = 0; action < actions; action += 1) {
    await random.pick(editors).act(random)
    await settle()
    await room.goOn(settle)
  }
  await room.end(settle)
  for (const each of editors) each.destroy()
  const name = `${editor}-${number + 1}`
  const size = saveRecording({ name, editor, seed, gc, people, updates: room.updates })
  console.log(`${name}: ${room.updates.length} updates, ${size} bytes`)
}

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !EDITORS.includes(name))
if (unknown.length > 0) throw new Error(`there is no editor ${unknown.join(', ')}; write some of ${EDITORS.join(', ')}`)
for (const editor of EDITORS) {
  if (wanted.length > 0 && !wanted.includes(editor)) continue
  for (const [number, session] of SESSIONS.entries()) await record(editor, number, session)
}
// Editors leave timers behind.
process.exit(0)
