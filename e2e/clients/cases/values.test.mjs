import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { gatewayOfFile } from './gateway.mjs'
import { join, kept, read } from './people.mjs'

const gateway = gatewayOfFile()

/** An application that shortens a title to 15 units cuts the emoji in its middle. */
const CUT = 'Release party 🎉 in Berlin'.slice(0, 15)

test('half an emoji takes nothing else with it', async (t) => {
  const writes = {
    'a mark': (doc) => {
      doc.getText('t').insert(0, 'hello world')
      doc.getText('t').format(0, 5, { link: { href: 'somewhere', title: CUT } })
    },
    'an embed': (doc) => doc.getText('t').insertEmbed(0, { image: 'a.png', alt: CUT }),
    'a value of a map': (doc) => doc.getMap('m').set('title', CUT),
    'an attribute of an XML element': (doc) => {
      const element = new Y.XmlElement('img')
      doc.getXmlFragment('x').insert(0, [element])
      element.setAttribute('alt', CUT)
    },
  }
  for (const [place, write] of Object.entries(writes)) {
    // What becomes of the half itself is left open: it has no form in UTF-8.
    await t.test(place, () => kept(gateway, `half an emoji in ${place}`, write))
  }
})

test('large numbers and deep values come back as they were written', async (t) => {
  const deep = (depth) => JSON.parse('{"c":'.repeat(depth) + 1 + '}'.repeat(depth))
  const values = {
    '2^63': 2 ** 63,
    '-2^63': -(2 ** 63),
    '1.8e19': 1.8e19,
    '1e21': 1e21,
    'the largest safe integer': Number.MAX_SAFE_INTEGER,
    '1e-7': 1e-7,
    'the largest number': Number.MAX_VALUE,
    'an object 100 deep': deep(100),
    'an object 200 deep': deep(200),
  }
  for (const [name, value] of Object.entries(values)) {
    await t.test(name, async () => {
      const doc = await kept(gateway, name, (doc) => {
        doc.getText('t').insertEmbed(0, { card: value })
        doc.getMap('m').set('value', value)
      })
      assert.deepEqual(doc.getText('t').toDelta(), [{ insert: { card: value } }])
      assert.deepEqual(doc.getMap('m').get('value'), value)
    })
  }
})

test('the keys of plain objects keep their order', async () => {
  const columns = { name: 1, age: 2, city: 3, zip: 4, country: 5, phone: 6, email: 7 }
  const rows = [{ z: 1, a: 2, m: 3 }]
  // Strings, since equal objects may have their keys in another order.
  const written = JSON.stringify({ columns, rows, text: [{ table: columns }, { mark: columns }] })
  const seen = (doc) => {
    const [embedded, marked] = doc.getText('t').toDelta()
    const map = doc.getMap('m')
    const text = [embedded.insert, marked.attributes]
    return JSON.stringify({ columns: map.get('columns'), rows: map.get('rows'), text })
  }
  const first = await kept(gateway, 'keys', (doc) => {
    doc.getMap('m').set('columns', columns)
    doc.getMap('m').set('rows', rows)
    doc.getText('t').insertEmbed(0, { table: columns })
    doc.getText('t').insert(1, 'x', { mark: columns })
  })
  assert.equal(seen(first), written)
  for (let visit = 0; visit < 3; visit += 1) {
    // Each visit changes the document, so that it is stored anew.
    assert.equal(seen(await kept(gateway, 'keys', (doc) => doc.getMap('m').set('visit', visit))), written)
  }
  const [reader, other] = [await join(gateway, 'keys'), await read(gateway, 'keys')]
  assert.equal(seen(reader.doc), seen(other))
  reader.leave()
})
