// Cases made of what editors send: to a server in the order in which it came, and from a log in any order.

import { Session } from './editors.mjs'

/** A room: each update is admitted as it comes, and in between somebody looks. */
export function liveCase(random) {
  const session = new Session(random)
  session.work(random.between(30, 250))
  session.settle()
  const { sent, remembered } = session
  const steps = []
  for (const [index, update] of sent.entries()) {
    steps.push([random.chance(0.1) ? 'twice' : 'admit', update])
    if (random.chance(0.06)) steps.push(['check'])
    if (random.chance(0.06) && remembered.length > 0) steps.push(['diff', random.pick(remembered)])
    if (random.chance(0.02)) steps.push(['reload'])
    if (random.chance(0.03)) steps.push(['merge', ...some(random, sent.slice(0, index + 1))])
  }
  return ending(random, session, steps)
}

/** A log: entries come late, twice, or not before the end; what waits goes to the database and back. */
export function lostCase(random) {
  // Somebody who comes back tells everything anew, also in other forms that wait for other things: what waits then is
  // no longer a question with one answer, so that half of the cases do without.
  const offline = random.chance(0.5)
  const session = new Session(random, { offline })
  session.work(random.between(30, 200))
  const count = session.sent.length
  session.settle()
  const early = session.sent.slice(0, count)
  const kept = early.filter(() => random.chance(0.9))
  const order = random.shuffled([...kept, ...kept.filter(() => random.chance(0.1))], random.pick([3, 10, early.length]))
  const steps = []
  for (const update of order) {
    steps.push(['take', update])
    if (offline) continue
    if (random.chance(0.06)) steps.push(['check'])
    if (random.chance(0.04) && session.remembered.length > 0) steps.push(['diff', random.pick(session.remembered)])
    if (random.chance(0.04)) steps.push(['reload'])
  }
  for (const update of random.shuffled(session.sent)) steps.push(['take', update])
  return ending(random, session, steps)
}

function ending(random, { sent, remembered }, steps) {
  steps.push(['final'], ['merge', ...random.shuffled(sent)])
  if (remembered.length > 0) steps.push(['diff', random.pick(remembered)])
  steps.push(['reload'], ['final'])
  return steps
}

/** Neighbours, with or without gaps, in order or not. */
function some(random, list) {
  const from = random.below(list.length)
  const piece = list.slice(from, from + random.between(1, 30))
  const gaps = random.chance(0.5) ? piece : piece.filter((_, index) => index === 0 || random.chance(0.7))
  return random.chance(0.5) ? gaps : random.shuffled(gaps)
}
