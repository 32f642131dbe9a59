// Random numbers that a seed determines, so that every round can be played again.

export class Random {
  #state

  /** The stream of one round: rounds of one seed are independent, so any of them can be played alone. */
  constructor(seed, round = 0) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(round + 1, 0x85ebca77)) >>> 0
  }

  /** 32 bits (the mulberry32 generator). */
  bits() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }

  /** A whole number from 0 and below `limit`. */
  below(limit) {
    return Math.floor((this.bits() / 0x100000000) * limit)
  }

  /** A whole number from `low` to `high`, both included. */
  between(low, high) {
    return low + this.below(high - low + 1)
  }

  chance(probability) {
    return this.bits() / 0x100000000 < probability
  }

  pick(list) {
    return list[this.below(list.length)]
  }

  /** One of the keys of `weights`, each as often as its number says. */
  weighed(weights) {
    const entries = Object.entries(weights)
    let left = this.below(entries.reduce((sum, [, weight]) => sum + weight, 0))
    for (const [name, weight] of entries) {
      if (left < weight) return name
      left -= weight
    }
    throw new Error('weights must be whole numbers and not all 0')
  }

  /** A shuffled copy in which nothing moves further than about `window` places. */
  shuffled(list, window = list.length) {
    return list
      .map((value, index) => ({ value, at: index + this.below(window + 1) + this.bits() / 0x100000000 }))
      .sort((a, b) => a.at - b.at)
      .map(({ value }) => value)
  }

  bytes(length) {
    return Uint8Array.from({ length }, () => this.below(256))
  }
}
