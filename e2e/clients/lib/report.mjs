// What a client says to the test that runs it: one JSON object a line on standard output.

import { stripVTControlCharacters } from 'node:util'

/** Prints one event. */
export function report(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`)
}

/**
 * Runs a client's main function and turns its end into an exit code: 0 when it returns, 1 with a `failed` line when it
 * throws. The process ends there, whatever timers and sockets the libraries still hold.
 */
export async function runClient(main) {
  let code = 0
  try {
    await main()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    // Playwright colours its messages whatever they are written to.
    report('failed', { reason: stripVTControlCharacters(reason), ...error?.details })
    code = 1
  }
  // Behind all lines: a pipe may still be full of them.
  process.stdout.write('', () => process.exit(code))
}

/** An error whose `details` go into the `failed` line. */
export class Failure extends Error {
  constructor(message, details = {}) {
    super(message)
    this.details = details
  }
}
