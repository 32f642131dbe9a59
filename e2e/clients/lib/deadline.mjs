// Waiting for something to become true, never for time to pass.

import { Failure } from './report.mjs'

/** One moment by which a whole run must be done. */
export class Deadline {
  #end

  constructor(seconds) {
    this.#end = performance.now() + seconds * 1000
    this.seconds = seconds
  }

  get left() {
    return Math.max(0, this.#end - performance.now())
  }

  /**
   * Resolves once `condition()` holds, looking again whenever `subscribe`'s callback is called. `subscribe` returns a
   * function that ends the subscription. Rejects when the deadline passes; `describe()` says how things stood then.
   */
  until(what, condition, subscribe, describe = () => ({})) {
    return new Promise((resolve, reject) => {
      let unsubscribe = () => {}
      const finish = (settle) => {
        clearTimeout(timer)
        unsubscribe()
        settle()
      }
      const timer = setTimeout(() => {
        finish(() => reject(new Failure(`not within ${this.seconds} s: ${what}`, describe())))
      }, this.left)
      const look = () => {
        if (condition()) finish(resolve)
      }
      unsubscribe = subscribe(look)
      look()
    })
  }

  /** The same for a value that tells nobody when it changes: looks every `every` ms. */
  poll(what, condition, every = 5, describe) {
    return this.until(
      what,
      condition,
      (look) => {
        const timer = setInterval(look, every)
        return () => clearInterval(timer)
      },
      describe,
    )
  }
}
