// CodeMirror 6, bound by y-codemirror.next: one Y.Text without formats.

import { mount } from '../browser.mjs'
import { EditorState } from '@codemirror/state'
import { EditorView } from '@codemirror/view'
import { yCollab } from 'y-codemirror.next'
import * as Y from 'yjs'
import { between, composed, words } from '../words.mjs'

const WEIGHTS = {
  type: 12,
  erase: 4,
  newline: 2,
  replace: 2,
  paste: 1,
  move: 1,
  indent: 1,
  everywhere: 1,
  undo: 2,
  redo: 1,
}

export class Editor {
  #view
  #undo
  #cursor = 0

  constructor(doc) {
    const text = doc.getText('text')
    this.#undo = new Y.UndoManager(text)
    const extensions = [yCollab(text, null, { undoManager: this.#undo }), EditorState.allowMultipleSelections.of(true)]
    this.#view = new EditorView({ parent: mount(), state: EditorState.create({ doc: text.toString(), extensions }) })
  }

  act(random) {
    this.#cursor = Math.min(this.#cursor, this.#length)
    this.#cursor = random.chance(0.1) ? this.#place(random) : between(this.#text, this.#cursor)
    this[random.weighed(WEIGHTS)](random)
  }

  /** Letter by letter. */
  type(random) {
    for (const letter of `${words(random, 1)} `) this.#change(this.#cursor, 0, letter)
  }

  erase(random) {
    for (let count = random.between(1, 5); count > 0 && this.#cursor > 0; count -= 1) this.#eraseOne()
  }

  #eraseOne() {
    const from = between(this.#text, this.#cursor - 1)
    this.#change(from, this.#cursor - from, '')
  }

  newline(random) {
    this.#change(this.#cursor, 0, `\n${' '.repeat(random.pick([0, 2, 4]))}`)
  }

  replace(random) {
    this.#change(...this.#range(random, 12), random.chance(0.5) ? composed(random) : words(random, 2))
  }

  paste(random) {
    const lines = Array.from({ length: random.between(2, 12) }, () => words(random, random.between(1, 6)))
    this.#change(this.#cursor, 0, lines.join('\n'))
  }

  move(random) {
    const [from, length] = this.#range(random, 40)
    const cut = this.#view.state.sliceDoc(from, from + length)
    this.#change(from, length, '')
    this.#change(this.#place(random), 0, cut)
  }

  /** One transaction with a change in each of several lines. */
  indent(random) {
    const { lines } = this.#view.state.doc
    const first = random.between(1, lines)
    const changes = []
    for (let line = first; line <= Math.min(lines, first + 5); line += 1) {
      changes.push({ from: this.#view.state.doc.line(line).from, insert: '  ' })
    }
    this.#view.dispatch({ changes, userEvent: 'input.indent' })
  }

  /** Replaces a word wherever it is. */
  everywhere(random) {
    const wanted = words(random, 1)
    const insert = words(random, 1)
    const text = this.#view.state.doc.toString()
    const changes = []
    for (
      let from = text.indexOf(wanted);
      from !== -1 && changes.length < 20;
      from = text.indexOf(wanted, from + wanted.length)
    ) {
      changes.push({ from, to: from + wanted.length, insert })
    }
    this.#view.dispatch({ changes, userEvent: 'input.replace.all' })
  }

  undo() {
    this.#undo.undo()
  }

  redo() {
    this.#undo.redo()
  }

  destroy() {
    this.#view.destroy()
  }

  get #length() {
    return this.#view.state.doc.length
  }

  get #text() {
    return this.#view.state.doc.toString()
  }

  #place(random) {
    return between(this.#text, random.between(0, this.#length))
  }

  /** Where something starts and how long it is. */
  #range(random, longest) {
    const from = this.#place(random)
    const end = Math.min(this.#length, from + random.between(0, longest))
    return [from, between(this.#text, end) - from]
  }

  #change(from, length, insert) {
    this.#view.dispatch({ changes: { from, to: from + length, insert }, selection: { anchor: from + insert.length } })
    this.#cursor = from + insert.length
  }
}
