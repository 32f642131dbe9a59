// Quill 2, bound by y-quill: one Y.Text with formats of characters and of lines, embeds and tables.

import { mount } from '../browser.mjs'
import * as Y from 'yjs'
import { between, composed, words } from '../words.mjs'

const { default: Quill } = await import('quill')
const { QuillBinding } = await import('y-quill')

const WEIGHTS = {
  type: 12,
  erase: 4,
  newline: 2,
  mark: 5,
  line: 3,
  clean: 1,
  embed: 1,
  table: 1,
  replace: 2,
  paste: 1,
  move: 1,
  undo: 2,
  redo: 1,
}

const MARKS = [
  ['bold', true],
  ['italic', true],
  ['underline', true],
  ['strike', true],
  ['code', true],
  ['link', 'somewhere'],
  ['color', '#e60000'],
  ['background', '#ffff00'],
  ['size', 'large'],
  ['font', 'serif'],
  ['script', 'sub'],
]
const LINES = [
  ['header', 1],
  ['header', 2],
  ['list', 'bullet'],
  ['list', 'ordered'],
  ['list', 'checked'],
  ['indent', 1],
  ['align', 'center'],
  ['direction', 'rtl'],
  ['blockquote', true],
  ['code-block', true],
]
const IMAGE = 'data:image/gif;base64,R0lGODlhAQABAAAAACw='

export class Editor {
  #quill
  #binding
  #undo
  #cursor = 0

  constructor(doc) {
    const text = doc.getText('text')
    // The binding brings its own undo; Quill's would undo what others wrote.
    this.#quill = new Quill(mount(), { modules: { table: true, history: { userOnly: true }, toolbar: false } })
    this.#binding = new QuillBinding(text, this.#quill)
    this.#undo = new Y.UndoManager(text, { trackedOrigins: new Set([this.#binding]) })
  }

  act(random) {
    this.#cursor = Math.min(this.#cursor, this.#length)
    this.#cursor = random.chance(0.1) ? this.#place(random) : between(this.#text, this.#cursor)
    this[random.weighed(WEIGHTS)](random)
  }

  type(random) {
    const marks = random.chance(0.2) ? Object.fromEntries([random.pick(MARKS)]) : {}
    for (const letter of `${words(random, 1)} `) {
      this.#quill.insertText(this.#cursor, letter, marks, 'user')
      this.#cursor += letter.length
    }
  }

  erase(random) {
    for (let count = random.between(1, 5); count > 0 && this.#cursor > 0; count -= 1) {
      const end = this.#cursor
      this.#cursor = between(this.#text, end - 1)
      this.#quill.deleteText(this.#cursor, end - this.#cursor, 'user')
    }
  }

  newline() {
    this.#quill.insertText(this.#cursor, '\n', 'user')
    this.#cursor += 1
  }

  mark(random) {
    const [name, value] = random.pick(MARKS)
    this.#quill.formatText(...this.#range(random, 20), name, random.chance(0.3) ? false : value, 'user')
  }

  line(random) {
    const [name, value] = random.pick(LINES)
    this.#quill.formatLine(...this.#range(random, 60), name, random.chance(0.3) ? false : value, 'user')
  }

  clean(random) {
    this.#quill.removeFormat(...this.#range(random, 60), 'user')
  }

  embed(random) {
    const [name, value] = random.pick([
      ['image', IMAGE],
      ['video', 'https://video.example/1'],
    ])
    this.#quill.insertEmbed(this.#cursor, name, value, 'user')
  }

  table(random) {
    const table = this.#quill.getModule('table')
    this.#quill.setSelection(this.#cursor, 0, 'silent')
    const [inside] = table.getTable()
    if (!inside) return table.insertTable(random.between(1, 3), random.between(1, 3))
    const change = random.pick(['insertRowAbove', 'insertRowBelow', 'insertColumnLeft', 'deleteRow', 'deleteColumn'])
    table[change]()
  }

  /** As Quill does when a composition ends, or text is typed over a selection: one change of both. */
  replace(random) {
    const [from, length] = this.#range(random, 12)
    const insert = random.chance(0.5) ? composed(random) : words(random, 2)
    const retain = from > 0 ? [{ retain: from }] : []
    this.#quill.updateContents([...retain, { insert }, ...(length > 0 ? [{ delete: length }] : [])], 'user')
    this.#cursor = from + insert.length
  }

  paste(random) {
    const items = Array.from({ length: random.between(1, 4) }, () => `<li>${words(random, 2)}</li>`).join('')
    const html = `<h2>${words(random, 2)}</h2><p>${words(random, 3)} <b>${words(random, 1)}</b></p><ul>${items}</ul>`
    this.#quill.clipboard.dangerouslyPasteHTML(this.#cursor, html, 'user')
  }

  move(random) {
    const [from, length] = this.#range(random, 40)
    const cut = this.#quill.getContents(from, length)
    this.#quill.deleteText(from, length, 'user')
    const to = this.#place(random)
    this.#quill.updateContents([...(to > 0 ? [{ retain: to }] : []), ...cut.ops], 'user')
  }

  undo() {
    this.#undo.undo()
  }

  redo() {
    this.#undo.redo()
  }

  destroy() {
    this.#binding.destroy()
  }

  /** Without the newline that Quill always has at the end. */
  get #length() {
    return this.#quill.getLength() - 1
  }

  /** With a sign for each embed. */
  get #text() {
    const { ops } = this.#quill.getContents()
    return ops.map(({ insert }) => (typeof insert === 'string' ? insert : '\ufffc')).join('')
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
}
