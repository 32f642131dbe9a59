// Updates as a Yjs of long ago wrote them: values as JSON. Documents of that time still exist.

import { decodeAny, KIND, readUpdate, varString, writeUpdate } from './wire.mjs'

/** The same update with ContentJSON in place of ContentAny, where JSON can hold the values. */
export function legacy(update) {
  const model = readUpdate(update)
  for (const { structs } of model.clients) {
    for (const struct of structs) {
      if (struct.kind !== KIND.any) continue
      const values = struct.values.map(decodeAny)
      if (!values.every((value) => value === undefined || survivesJson(value))) continue
      struct.kind = KIND.json
      struct.values = values.map((value) => varString(value === undefined ? 'undefined' : JSON.stringify(value)))
    }
  }
  return writeUpdate(model)
}

function survivesJson(value) {
  if (value === null || typeof value === 'boolean') return true
  if (typeof value === 'string') return value !== 'undefined'
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0)
  if (typeof value !== 'object' || value instanceof Uint8Array) return false
  // A key of this name would be read as a prototype by one of the two and not by the other.
  return Object.entries(value).every(([name, inner]) => name !== '__proto__' && survivesJson(inner))
}
