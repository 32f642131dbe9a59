import { expect, test } from 'vitest'
import { cleanName, colorOf, person, personFromAwareness } from './person'

/** WCAG's contrast of white text on a colour. */
function contrastToWhite(color: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(color.slice(at, at + 2), 16) / 255
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4
  })
  return 1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05)
}

test('a name has one colour, and names spread over the colours', () => {
  expect(colorOf('Alice')).toBe(colorOf('Alice'))
  const colors = new Set(Array.from({ length: 200 }, (_, i) => colorOf(`Person ${i}`)))
  expect(colors.size).toBeGreaterThanOrEqual(8)
})

test('white text can be read on every colour', () => {
  for (let i = 0; i < 200; i += 1) expect(contrastToWhite(colorOf(`Person ${i}`))).toBeGreaterThan(4.5)
})

test('a name is one short line', () => {
  expect(cleanName('  Ada \n Lovelace\u0000 ')).toBe('Ada Lovelace')
  expect(Array.from(cleanName('🙂'.repeat(60)))).toHaveLength(40)
  expect(person('   ').name).toBe('Somebody')
})

test('what another client says about its user cannot break the page', () => {
  expect(personFromAwareness({ name: 'Bob', color: '#00ff00' })).toEqual({ name: 'Bob', color: '#00ff00' })
  expect(personFromAwareness({ name: 'Bob', color: 'red; background: url(//evil)' })).toEqual(person('Bob'))
  for (const user of [undefined, null, 7, 'x', {}, { name: 3, color: {} }]) {
    expect(personFromAwareness(user)).toEqual(person(''))
  }
})
