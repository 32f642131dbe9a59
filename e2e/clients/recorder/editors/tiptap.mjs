// TipTap 3 (ProseMirror), bound by its Collaboration extension (y-tiptap, which is y-prosemirror): XML.

import { mount } from '../browser.mjs'
import { Editor as TipTap, Mark } from '@tiptap/core'
import { Collaboration } from '@tiptap/extension-collaboration'
import { Image } from '@tiptap/extension-image'
import { TaskItem, TaskList } from '@tiptap/extension-list'
import { TableKit } from '@tiptap/extension-table'
import { StarterKit } from '@tiptap/starter-kit'
import { between, composed, word, words } from '../words.mjs'

const WEIGHTS = {
  type: 14,
  shortcut: 2,
  erase: 5,
  enter: 4,
  key: 2,
  mark: 4,
  comment: 2,
  block: 4,
  table: 3,
  insert: 2,
  replace: 2,
  compose: 1,
  paste: 1,
  move: 2,
  undo: 2,
  redo: 1,
}

/** What input rules turn into a block or a mark while it is typed. */
const SHORTCUTS = ['# ', '## ', '- ', '1. ', '> ', '``` ', '[ ] ', '**bold** ', '_so_ ', '`code` ', '--- ']

const MARKS = [
  (chain) => chain.toggleBold(),
  (chain) => chain.toggleItalic(),
  (chain) => chain.toggleStrike(),
  (chain) => chain.toggleUnderline(),
  (chain) => chain.toggleCode(),
  (chain) => chain.toggleLink({ href: 'https://somewhere.example' }),
  (chain) => chain.unsetAllMarks(),
]
const BLOCKS = [
  (chain) => chain.toggleHeading({ level: 1 }),
  (chain) => chain.toggleHeading({ level: 3 }),
  (chain) => chain.toggleBulletList(),
  (chain) => chain.toggleOrderedList(),
  (chain) => chain.toggleTaskList(),
  (chain) => chain.updateAttributes('taskItem', { checked: true }),
  (chain) => chain.sinkListItem('listItem'),
  (chain) => chain.liftListItem('listItem'),
  (chain) => chain.toggleBlockquote(),
  (chain) => chain.toggleCodeBlock({ language: 'rust' }),
  (chain) => chain.setParagraph(),
  (chain) => chain.clearNodes(),
]
const TABLES = [
  (chain) => chain.addRowAfter(),
  (chain) => chain.addColumnBefore(),
  (chain) => chain.deleteRow(),
  (chain) => chain.deleteColumn(),
  (chain) => chain.mergeOrSplit(),
  (chain) => chain.toggleHeaderRow(),
  (chain) => chain.setCellAttribute('colspan', 1),
  (chain) => chain.deleteTable(),
]
const INSERTS = [
  (chain) => chain.setImage({ src: 'data:image/gif;base64,R0lGODlhAQABAAAAACw=', alt: 'a 🎉' }),
  (chain) => chain.setHorizontalRule(),
  (chain) => chain.setHardBreak(),
]

/** A mark of which several lie over each other, as those of comments do. */
const Comment = Mark.create({
  name: 'comment',
  excludes: '',
  addAttributes: () => ({ thread: { default: null }, resolved: { default: false } }),
  parseHTML: () => [{ tag: 'span[data-thread]' }],
  renderHTML: () => ['span', { 'data-thread': '' }, 0],
})

export class Editor {
  #editor

  constructor(doc) {
    this.#editor = new TipTap({
      element: mount(),
      extensions: [
        StarterKit.configure({ undoRedo: false }),
        Image.configure({ allowBase64: true }),
        TaskList,
        TaskItem.configure({ nested: true }),
        TableKit,
        Comment,
        Collaboration.configure({ document: doc, field: 'xml' }),
      ],
    })
  }

  act(random) {
    if (random.chance(0.15)) this.#select(random, 0)
    this[random.weighed(WEIGHTS)](random)
  }

  type(random) {
    this.#write(`${words(random, random.between(1, 3))} `)
  }

  shortcut(random) {
    this.#write(random.pick(SHORTCUTS))
  }

  erase(random) {
    for (let count = random.between(1, 6); count > 0; count -= 1) {
      const { empty, $from } = this.#view.state.selection
      if (!empty || $from.parentOffset === 0) this.#press('Backspace')
      // The browser does this without ProseMirror's help.
      else this.#view.dispatch(this.#view.state.tr.delete(this.#before($from), $from.pos))
    }
  }

  enter() {
    this.#press('Enter')
  }

  key(random) {
    this.#press(...random.pick([['Tab'], ['Tab', { shiftKey: true }], ['Delete'], ['Enter', { shiftKey: true }]]))
  }

  mark(random) {
    this.#select(random, 30)
    this.#run(random.pick(MARKS))
  }

  comment(random) {
    this.#select(random, 40)
    const thread = `thread-${random.below(4)}`
    if (random.chance(0.3)) this.#run((chain) => chain.unsetMark('comment'))
    else this.#run((chain) => chain.setMark('comment', { thread, resolved: random.chance(0.2) }))
  }

  block(random) {
    this.#run(random.pick(BLOCKS))
  }

  table(random) {
    const inside = this.#editor.isActive('table')
    if (!inside) this.#run((chain) => chain.insertTable({ rows: random.between(1, 3), cols: random.between(1, 3) }))
    else this.#run(random.pick(TABLES))
  }

  insert(random) {
    this.#run(random.pick(INSERTS))
  }

  /** Types over a selection, which may reach over several blocks. */
  replace(random) {
    this.#select(random, 30)
    this.#write(word(random))
  }

  /** An input method: letters, each time in the place of those before, and at the end signs. */
  compose(random) {
    const { from } = this.#view.state.selection
    if (!this.#view.state.selection.$from.parent.inlineContent) return
    let end = this.#view.state.selection.to
    for (const text of ['n', 'ni', 'nih', composed(random)]) {
      this.#view.dispatch(this.#view.state.tr.insertText(text, from, end))
      end = from + text.length
    }
  }

  paste(random) {
    const [a, b, c] = [words(random, 3), word(random), words(random, 2)]
    this.#view.pasteHTML(`<h2>${a}</h2><p>${c} <b>${b}</b></p><ul><li>${b}<ul><li>${c}</li></ul></li></ul>`)
  }

  /** Drags a block to another place: one transaction. */
  move(random) {
    const { doc, tr } = this.#view.state
    if (doc.childCount < 2) return
    const [from, to] = [random.below(doc.childCount), random.below(doc.childCount)]
    const start = (index) => Array.from({ length: index }, (_, at) => doc.child(at).nodeSize).reduce((a, b) => a + b, 0)
    const node = doc.child(from)
    tr.delete(start(from), start(from) + node.nodeSize)
    this.#view.dispatch(tr.insert(tr.mapping.map(start(to)), node))
  }

  undo() {
    this.#editor.commands.undo()
  }

  redo() {
    this.#editor.commands.redo()
  }

  destroy() {
    this.#editor.destroy()
  }

  get #view() {
    return this.#editor.view
  }

  #run(command) {
    command(this.#editor.chain()).run()
  }

  #before({ parent, parentOffset, pos }) {
    const text = parent.textBetween(0, parentOffset, undefined, '\ufffc')
    return pos - (text.length - between(text, text.length - 1))
  }

  /** A selection of up to `longest` positions somewhere, an empty one for 0. */
  #select(random, longest) {
    const { doc } = this.#view.state
    const place = (at) => {
      const $at = doc.resolve(Math.min(at, doc.content.size))
      const text = $at.parent.inlineContent
        ? $at.parent.textBetween(0, $at.parent.content.size, undefined, '\ufffc')
        : ''
      return $at.pos - ($at.parentOffset - between(text, $at.parentOffset))
    }
    const from = place(random.between(0, doc.content.size))
    this.#editor.commands.setTextSelection({ from, to: place(from + random.between(0, longest)) })
  }

  /** Sign by sign, as the browser tells ProseMirror: plugins may do something else than to insert it. */
  #write(text) {
    for (const sign of text) {
      const { from, to } = this.#view.state.selection
      const insert = () => this.#view.state.tr.insertText(sign, from, to)
      const taken = this.#view.someProp('handleTextInput', (handle) => handle(this.#view, from, to, sign, insert))
      if (!taken) this.#view.dispatch(insert())
    }
  }

  #press(key, modifiers = {}) {
    const event = new KeyboardEvent('keydown', { key, ...modifiers })
    this.#view.someProp('handleKeyDown', (handle) => handle(this.#view, event))
  }
}
