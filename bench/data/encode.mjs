// Makes automerge-paper.bin: `node encode.mjs FOLDER_OF_TRACES`, with `yjs` of bench/peers.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import * as Y from '../peers/node_modules/yjs/dist/yjs.mjs'

const trace = JSON.parse(gunzipSync(readFileSync(join(process.argv[2], 'automerge-paper.json.gz'))))
const doc = new Y.Doc()
doc.clientID = 1
const text = doc.getText('t')
for (const [position, deleted, inserted] of trace.txns.flatMap(({ patches }) => patches)) {
  if (deleted > 0) text.delete(position, deleted)
  if (inserted) text.insert(position, inserted)
}
if (text.toString() !== trace.endContent) throw new Error('the trace does not end as it says')
writeFileSync(new URL('automerge-paper.bin', import.meta.url), Y.encodeStateAsUpdate(doc))
