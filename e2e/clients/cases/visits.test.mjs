import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { Ledger } from '../lib/ledger.mjs'
import { eventually, gatewayOfFile } from './gateway.mjs'
import { Person, join, read } from './people.mjs'

const gateway = gatewayOfFile('--api', 'admin')

test('100 documents open at once and again, and stand a storm of reconnects', async () => {
  const up = (people) => eventually('all are in sync', () => people.every((person) => person.up), 30)
  const open = async () => {
    const people = Array.from({ length: 100 }, (_, i) => new Person(gateway, `subdocument ${i}`))
    await up(people)
    return people
  }
  const first = await open()
  first.forEach((person, i) => {
    person.doc.getMap('m').set('i', i)
    person.leave()
  })
  await gateway.quiet()
  const second = await open()
  assert.ok(second.every(({ doc }, i) => doc.getMap('m').get('i') === i))
  for (let storm = 0; storm < 3; storm += 1) {
    for (const { provider } of second) provider.ws.terminate()
    await eventually('all have noticed', () => second.every(({ up }) => !up))
    await up(second)
  }
  for (const person of second) person.leave()
})

test('what is stored does not grow with typing, deleting and short visits', async () => {
  for (let visit = 0; visit < 12; visit += 1) {
    const doc = new Y.Doc()
    const ledger = new Ledger(doc)
    const person = await join(gateway, 'growth', { doc, Socket: ledger.socket() })
    const text = doc.getText('t')
    for (let i = 0; i < 150; i += 1) {
      doc.transact(() => text.insert(text.length, 'lorem ipsum '), ledger)
      if (text.length > 600) doc.transact(() => text.delete(0, 300), ledger)
      doc.transact(() => doc.getMap('m').set('cursor', i), ledger)
    }
    await eventually('all is acknowledged', () => ledger.waiting === 0)
    person.leave()
    // Every other time the next one comes before the document is closed.
    if (visit % 2 === 1) await gateway.quiet()
  }
  await gateway.quiet()
  const exported = await fetch(gateway.api('growth', '/export'))
  const stored = (await exported.arrayBuffer()).byteLength
  const own = Y.encodeStateAsUpdate(await read(gateway, 'growth')).length
  assert.ok(stored > 0 && stored <= own * 1.2, `${stored} bytes are stored, of which Yjs makes ${own}`)
})
