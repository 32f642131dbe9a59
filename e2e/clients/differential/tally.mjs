// What a run has seen, for its last lines.

export class Tally {
  rounds = {}
  updates = 0
  /**
   * Of attacks: how many were refused, taken, taken in part; and of these, on how many Yjs does not agree with itself.
   */
  attacks = { refused: 0, taken: 0, 'in part': 0, unsteady: 0 }
  #sizes = { count: 0, sum: 0, worst: 0 }

  round(kind) {
    this.rounds[kind] = (this.rounds[kind] ?? 0) + 1
  }

  attack(end) {
    this.attacks[end] = (this.attacks[end] ?? 0) + 1
  }

  /** Bytes of the store and of Yjs for one document. */
  size(store, yjs) {
    const ratio = store / yjs
    const { count, sum, worst } = this.#sizes
    this.#sizes = { count: count + 1, sum: sum + ratio, worst: Math.max(worst, ratio) }
  }

  report(seconds) {
    const { count, sum, worst } = this.#sizes
    const list = (counts) =>
      Object.entries(counts)
        .map(([name, n]) => `${n} ${name}`)
        .join(', ')
    const sizes = count === 0 ? 'none' : `mean ${(sum / count).toFixed(3)}, worst ${worst.toFixed(3)}, of ${count}`
    return [
      `rounds: ${list(this.rounds)}, in ${seconds.toFixed(1)} s`,
      `updates of editors: ${this.updates}; attacks: ${list(this.attacks)}`,
      `bytes in parts of Yjs' bytes: ${sizes}`,
    ].join('\n')
  }
}
