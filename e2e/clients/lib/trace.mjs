// The recorded session of two authors, as the Yjs updates that each author's editor would have made.

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import * as Y from 'yjs'

/** The Yjs client ids that the authors write under: any two fixed numbers. */
const CLIENT_IDS = [1, 2]

/** Reads a trace of the directory e2e/data. */
export function loadTrace(name) {
  const file = new URL(`../../data/${name}.json.gz`, import.meta.url)
  return JSON.parse(gunzipSync(readFileSync(file)).toString('utf8'))
}

/**
 * Replays a trace offline. Each author has a document; before a transaction it is brought to the transaction's parents
 * by the other author's updates that those parents include, so that the recorded position means what it meant then.
 *
 * Returns `authors`, for each one its updates in order: `{update, needs}` with `needs` the Yjs clock of the other
 * author that the update was made upon, and `contents`, the text of each author's document with everything merged.
 */
export function replayOffline(trace) {
  if (trace.numAgents !== 2) throw new Error(`the trace has ${trace.numAgents} authors; this reads traces of 2`)
  const authors = CLIENT_IDS.map((clientID) => new Author(clientID))
  // For each transaction, how many updates of each author its version includes.
  const versions = []
  trace.txns.forEach(({ agent, parents, patches }, index) => {
    const author = authors[agent]
    const version = [0, 1].map((a) => Math.max(0, ...parents.map((parent) => versions[parent][a])))
    if (version[agent] !== author.own.length) {
      throw new Error(`transaction ${index} does not follow its author's last one; this reads traces without branches`)
    }
    const other = authors[1 - agent]
    author.receive(other, version[1 - agent])
    author.edit(patches, other.clientID)
    version[agent] += 1
    versions.push(version)
  })
  authors.forEach((author, agent) => author.receive(authors[1 - agent], authors[1 - agent].own.length))
  return {
    authors: authors.map((author) => author.own),
    clientIDs: CLIENT_IDS,
    contents: authors.map((author) => author.text.toString()),
  }
}

class Author {
  #doc = new Y.Doc()
  #received = 0
  /** Whether some character so far needs two UTF-16 units: until then a position is the same in both counts. */
  #astral = false

  constructor(clientID) {
    this.clientID = clientID
    this.#doc.clientID = clientID
    this.text = this.#doc.getText('text')
    this.own = []
  }

  /** Merges the other's first `count` updates. */
  receive(other, count) {
    this.#astral ||= other.#astral
    for (; this.#received < count; this.#received += 1) {
      Y.applyUpdate(this.#doc, other.own[this.#received].update)
    }
  }

  edit(patches, otherID) {
    const needs = Y.getState(this.#doc.store, otherID)
    let made = null
    const keep = (update) => {
      made = update
    }
    this.#doc.on('update', keep)
    this.#doc.transact(() => {
      for (const [position, deleted, inserted] of patches) {
        const from = this.#toUtf16(position)
        if (deleted > 0) this.text.delete(from, this.#toUtf16(position + deleted) - from)
        if (inserted !== '') this.text.insert(from, inserted)
        this.#astral ||= /[\u{10000}-\u{10ffff}]/u.test(inserted)
      }
    })
    this.#doc.off('update', keep)
    if (made === null) throw new Error(`transaction ${this.own.length} of author ${this.clientID} changes nothing`)
    this.own.push({ update: made, needs })
  }

  /** Yjs counts UTF-16 units, the trace code points. */
  #toUtf16(position) {
    if (!this.#astral) return position
    let units = 0
    let left = position
    for (const character of this.text.toString()) {
      if (left === 0) break
      units += character.length
      left -= 1
    }
    return units
  }
}
