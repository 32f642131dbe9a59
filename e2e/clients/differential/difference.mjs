// What a check found.

/**
 * The store does something else than it must; `check` names what was checked and stays the same while a case shrinks.
 */
export class Difference extends Error {
  constructor(check, details) {
    super(`${check}: ${details}`)
    this.check = check
  }
}
