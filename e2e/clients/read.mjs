// Somebody joins a document late and reads it.
//
//   node read.mjs --url ws://HOST/yjs --document ID (--expect-trace friendsforever | --print true) [--deadline 30]
//
// With --expect-trace it waits until the text is the trace's last one; with --print it takes what the first sync
// brings. The last line is {"event":"read","length":...,"sha256":...}, with --print also "text".

import { createHash } from 'node:crypto'
import { Connection } from './lib/connection.mjs'
import { Deadline } from './lib/deadline.mjs'
import { options } from './lib/options.mjs'
import { report, runClient } from './lib/report.mjs'
import { loadTrace } from './lib/trace.mjs'

async function main() {
  const given = options({ url: undefined, document: undefined, 'expect-trace': null, print: null, deadline: 30 })
  if (given['expect-trace'] === null && given.print === null) {
    throw new Error('say what to do: --expect-trace NAME or --print true')
  }
  const started = performance.now()
  const deadline = new Deadline(given.deadline)
  const connection = new Connection(given.url, given.document, report)
  await connection.ready(deadline)
  if (given['expect-trace'] !== null) await connection.reads(loadTrace(given['expect-trace']).endContent, deadline)
  const text = connection.text.toString()
  report('read', {
    ...(given['expect-trace'] !== null && { equal: true }),
    length: [...text].length,
    sha256: createHash('sha256').update(text, 'utf8').digest('hex'),
    seconds: Math.round(performance.now() - started) / 1000,
    ...(given.print !== null && { text }),
  })
  connection.leave()
}

await runClient(main)
