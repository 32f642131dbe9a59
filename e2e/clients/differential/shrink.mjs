// Makes a failing case smaller, by leaving out steps while the same check still fails.

/**
 * Gives the smallest case found in this time; `failure(case)` plays a case and gives the name of the check, or null.
 */
export async function shrink(failing, check, failure, seconds) {
  const until = performance.now() + 1000 * seconds
  let steps = failing.steps
  for (let size = Math.ceil(steps.length / 2); ;) {
    let smaller = false
    for (let from = 0; from < steps.length;) {
      if (performance.now() > until) return { ...failing, steps }
      const fewer = [...steps.slice(0, from), ...steps.slice(from + size)]
      if ((await failure({ ...failing, steps: fewer })) === check) {
        steps = fewer
        smaller = true
      } else {
        from += size
      }
    }
    if (size === 1 && !smaller) return { ...failing, steps }
    size = Math.max(1, size >> 1)
  }
}
