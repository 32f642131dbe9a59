import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { any, by, json, string } from '../lib/updates.mjs'
import { gatewayOfFile } from './gateway.mjs'
import { join, kept, read } from './people.mjs'
import { Raw } from './raw.mjs'

const gateway = gatewayOfFile()

test('an XML hook is kept', async () => {
  const doc = await kept(gateway, 'hook', (doc) => doc.getXmlFragment('x').insert(0, [new Y.XmlHook('widget')]))
  const [hook] = doc.getXmlFragment('x').toArray()
  assert.ok(hook instanceof Y.XmlHook)
  assert.equal(hook.hookName, 'widget')
})

test('JSON content, which Yjs wrote before version 13, is kept', async () => {
  const values = ['one', { two: 2 }]
  const doc = await kept(gateway, 'json', (doc) => Y.applyUpdate(doc, by(9, json({ parent: 'a' }, values))))
  assert.deepEqual(doc.getArray('a').toJSON(), values)
})

test('an item whose parent is no shared type takes nothing with it', async () => {
  const client = 9
  const odd = by(
    client,
    string({ parent: 't' }, 'a'),
    string({ parent: [client, 0] }, 'b'),
    any({ parent: 'm', key: 'k' }, [true]),
  )
  const doc = new Y.Doc()
  Y.applyUpdate(doc, odd)
  // Yjs takes all of it but the odd item, and so does its own server.
  assert.equal(doc.getMap('m').get('k'), true)
  // The person who has made it goes on. Yjs gives a document another client id when it meets its own in an update.
  doc.clientID = client
  const before = Y.encodeStateVector(doc)
  doc.getMap('m').set('work', 'afternoon')

  const viewer = await join(gateway, 'parent')
  const author = await Raw.open(gateway, 'parent', new Y.Doc())
  await author.sync()
  assert.equal(await author.put(odd), 'acknowledged')
  assert.equal(await author.put(Y.encodeStateAsUpdate(doc, before)), 'acknowledged')
  const map = viewer.doc.getMap('m')
  await viewer.sees('the work', () => map.get('work') === 'afternoon' && map.get('k') === true)
  const text = viewer.doc.getText('t')
  text.insert(1, ' and what somebody else typed behind it')
  const same = () => author.doc.getText('t').toString() === text.toString()
  await author.until('what the viewer types', same)
  author.end()
  viewer.leave()
  await gateway.quiet()
  const late = await read(gateway, 'parent')
  assert.deepEqual(late.getMap('m').toJSON(), map.toJSON())
  assert.equal(late.getText('t').toString(), text.toString())
  assert.equal(late.store.pendingStructs, null)
})
