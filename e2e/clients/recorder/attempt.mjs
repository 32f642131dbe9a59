// Editors throw at some of what is done at random. In a browser that is a line on the console, and the person goes on.

/** What was thrown, as text, and how often. */
export const failures = new Map()

const note = (error) => {
  const text = `${error?.message ?? error}`.split('\n')[0].slice(0, 100)
  failures.set(text, (failures.get(text) ?? 0) + 1)
}

/** Runs at once up to the first wait; resolves when it is over, whatever became of it. */
export async function attempt(action) {
  try {
    await action()
  } catch (error) {
    note(error)
  }
}

// What an editor does later, on a timer.
process.on('uncaughtException', note)
process.on('unhandledRejection', note)
