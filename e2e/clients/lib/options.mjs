// The command line: every option takes a value; a missing or malformed one is an error that names it.

import { parseArgs } from 'node:util'

/**
 * Reads `--name value` options. `spec` maps each name to its default; `undefined` means that it must be given,
 * `null` that it may be left out. A default that is a number makes the option a number that is not negative.
 */
export function options(spec, args = process.argv.slice(2)) {
  const { values } = parseArgs({
    args,
    options: Object.fromEntries(Object.keys(spec).map((name) => [name, { type: 'string' }])),
  })
  return Object.fromEntries(Object.entries(spec).map(([name, fallback]) => [name, value(name, values[name], fallback)]))
}

function value(name, given, fallback) {
  if (given === undefined) {
    if (fallback === undefined) throw new Error(`--${name} is missing; give it a value`)
    return fallback
  }
  if (typeof fallback !== 'number') return given
  const number = Number(given)
  if (given.trim() === '' || !Number.isFinite(number) || number < 0) {
    throw new Error(`--${name} is "${given}"; write a number from 0`)
  }
  return number
}
