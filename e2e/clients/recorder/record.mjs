// Plays sessions in real editors and writes what a server is sent to e2e/data/editors.
//
//   npm ci && npm run record [-- NAME ...]
//
// NAME is a kind of session, such as `quill`; without one all are played. The same versions give the same files.

// First: see there.
import './fixed.mjs'
import { Random } from '../lib/random.mjs'
import { saveRecording } from '../lib/recording.mjs'
import { attempt, failures } from './attempt.mjs'
import { restart } from './fixed.mjs'
import { Room } from './room.mjs'

/** For each kind of session who is in it, each person with one of the editors of `editors`, from the first again. */
const KINDS = {
  codemirror: ['codemirror'],
  quill: ['quill'],
  tiptap: ['tiptap'],
  lexical: ['lexical'],
  blocknote: ['blocknote'],
  pycrdt: ['pycrdt', 'codemirror'],
}
/** Of each kind. */
const SESSIONS = [
  { people: 3, gc: true, actions: 400 },
  { people: 2, gc: false, actions: 250 },
]

async function record(kind, number, { people, gc, actions }) {
  const seed = 1 + Object.keys(KINDS).indexOf(kind) * SESSIONS.length + number
  restart(seed)
  const random = new Random(seed)
  const room = new Room(random, { people, gc })
  const settle = () => new Promise((resolve) => setTimeout(resolve, 0))
  const editors = []
  for (const [index, { doc }] of room.people.entries()) {
    const { Editor } = await import(`./editors/${KINDS[kind][index % KINDS[kind].length]}.mjs`)
    editors.push(new Editor(doc))
    await settle()
  }
  for (let action = 0; action < actions; action += 1) {
    await attempt(() => random.pick(editors).act(random))
    await settle()
    await room.goOn(settle)
  }
  await room.end(settle)
  for (const each of editors) each.destroy()
  const name = `${kind}-${number + 1}`
  for (const [text, count] of failures) console.log(`${name}: ${count} times: ${text}`)
  const failed = [...failures.values()].reduce((sum, count) => sum + count, 0)
  if (failed > actions / 20) throw new Error(`${failed} of ${actions} actions failed: that is no session`)
  failures.clear()
  const size = saveRecording({ name, kind, seed, gc, people, updates: room.updates })
  console.log(`${name}: ${room.updates.length} updates, ${size} bytes`)
}

// Editors complain to the console about what is done to them at random.
console.warn = () => {}

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !(name in KINDS))
if (unknown.length > 0)
  throw new Error(`there is no ${unknown.join(', ')}; write some of ${Object.keys(KINDS).join(', ')}`)
const report = (error) => {
  console.error(error)
  process.exit(1)
}
for (const kind of wanted.length > 0 ? wanted : Object.keys(KINDS)) {
  for (const [number, session] of SESSIONS.entries()) await record(kind, number, session).catch(report)
}
// Editors leave timers behind.
process.exit(0)
