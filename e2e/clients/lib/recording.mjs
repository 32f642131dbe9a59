// Recordings of sessions in real editors (e2e/data/editors), made by e2e/clients/recorder.
//
// A recording is JSON, compressed with gzip:
//
//   kind      which editors, such as "quill"
//   seed      what the session was made with
//   gc        false if the people's documents kept what was deleted
//   people    how many there were
//   updates   what the server was sent, in order: [person, how, update in base64], with `how` either "edit", an update
//             as it was made, or "back", all that a person wrote without a connection, as one update
//
// Each update refers only to what an earlier one has: the server could admit them as they came.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { gunzipSync, gzipSync } from 'node:zlib'

const DIRECTORY = new URL('../../data/editors/', import.meta.url)
const ENDING = '.json.gz'

/** The names of all recordings, in order. */
export function recordings() {
  return readdirSync(DIRECTORY)
    .filter((file) => file.endsWith(ENDING))
    .map((file) => file.slice(0, -ENDING.length))
    .sort()
}

/** A recording with its updates as `{person, how, update}`, `update` as bytes. */
export function loadRecording(name) {
  const recording = JSON.parse(gunzipSync(readFileSync(new URL(name + ENDING, DIRECTORY))).toString('utf8'))
  const updates = recording.updates.map(([person, how, update]) => {
    return { person, how, update: new Uint8Array(Buffer.from(update, 'base64')) }
  })
  return { ...recording, name, updates }
}

/** The inverse; gives the size of the file in bytes. */
export function saveRecording({ name, updates, ...about }) {
  const packed = updates.map(({ person, how, update }) => [person, how, Buffer.from(update).toString('base64')])
  const bytes = gzipSync(JSON.stringify({ ...about, updates: packed }), { level: 9 })
  writeFileSync(new URL(name + ENDING, DIRECTORY), bytes)
  return bytes.length
}
