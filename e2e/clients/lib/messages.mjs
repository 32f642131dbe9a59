// The messages of y-protocols, written by hand: whatever a test wants said.

import * as encoding from 'lib0/encoding'

const SYNC = 0
const AWARENESS = 1
const STEP1 = 0
const STEP2 = 1
const UPDATE = 2

/** The state vector of somebody who has nothing. */
const NOTHING = new Uint8Array([0])

export const step1 = (vector = NOTHING) => sync(STEP1, vector)
export const step2 = (update) => sync(STEP2, update)
export const edit = (update) => sync(UPDATE, update)
/** Asks for everybody's presence. */
export const query = () => new Uint8Array([3])

/** `states`: of each client its id, its clock, and its state as JSON. */
export function presence(states) {
  const body = encoding.createEncoder()
  encoding.writeVarUint(body, states.length)
  for (const [client, clock, json] of states) {
    encoding.writeVarUint(body, client)
    encoding.writeVarUint(body, clock)
    encoding.writeVarString(body, json)
  }
  const encoder = encoding.createEncoder()
  encoding.writeVarUint(encoder, AWARENESS)
  encoding.writeVarUint8Array(encoder, encoding.toUint8Array(body))
  return encoding.toUint8Array(encoder)
}

/** `clocks`: pairs of a client and a clock. */
export function vector(clocks) {
  const encoder = encoding.createEncoder()
  encoding.writeVarUint(encoder, clocks.length)
  for (const number of clocks.flat()) encoding.writeVarUint(encoder, number)
  return encoding.toUint8Array(encoder)
}

function sync(kind, body) {
  const encoder = encoding.createEncoder()
  encoding.writeVarUint(encoder, SYNC)
  encoding.writeVarUint(encoder, kind)
  encoding.writeVarUint8Array(encoder, body)
  return encoding.toUint8Array(encoder)
}
