// BlockNote (ProseMirror in blocks with identifiers), bound by y-prosemirror, and its threads of comments in a Y.Map.

import { mount } from '../browser.mjs'
import { BlockNoteEditor } from '@blocknote/core'
import { DefaultThreadStoreAuth } from '@blocknote/core/comments'
import { withCollaboration, YjsThreadStore } from '@blocknote/core/yjs'
import { between, word, words } from '../words.mjs'

const WEIGHTS = {
  type: 14,
  erase: 4,
  enter: 4,
  style: 4,
  link: 1,
  block: 4,
  insert: 3,
  table: 1,
  remove: 1,
  nest: 3,
  move: 2,
  replace: 2,
  paste: 1,
  thread: 2,
  undo: 2,
  redo: 1,
}
const STYLES = [
  { bold: true },
  { italic: true },
  { underline: true },
  { strike: true },
  { code: true },
  { textColor: 'red' },
  { backgroundColor: 'yellow' },
]
const BLOCKS = [
  { type: 'paragraph' },
  { type: 'heading', props: { level: 2 } },
  { type: 'bulletListItem' },
  { type: 'numberedListItem' },
  { type: 'checkListItem', props: { checked: true } },
  { type: 'quote' },
  { type: 'codeBlock', props: { language: 'rust' } },
  { props: { textAlignment: 'center' } },
  { props: { backgroundColor: 'blue' } },
]

export class Editor {
  #editor
  #threads

  constructor(doc) {
    const user = { name: `person ${doc.clientID}`, color: '#ff0000' }
    const collaboration = { fragment: doc.getXmlFragment('xml'), user }
    this.#editor = BlockNoteEditor.create(withCollaboration({ collaboration }))
    this.#editor.mount(mount())
    const auth = new DefaultThreadStoreAuth(user.name, 'editor')
    this.#threads = new YjsThreadStore(user.name, doc.getMap('map'), auth)
  }

  act(random) {
    if (random.chance(0.15)) this.#editor.setTextCursorPosition(this.#block(random), random.pick(['start', 'end']))
    return this[random.weighed(WEIGHTS)](random)
  }

  type(random) {
    const shortcut = random.chance(0.1) ? random.pick(['# ', '- ', '1. ', '[] ', '> ']) : ''
    this.#write(`${shortcut}${words(random, random.between(1, 3))} `)
  }

  erase(random) {
    for (let count = random.between(1, 4); count > 0; count -= 1) {
      const { state } = this.#view
      const { empty, $from } = state.selection
      if (!empty || $from.parentOffset === 0) this.#press('Backspace')
      else {
        const text = $from.nodeBefore?.text ?? '\ufffc'
        const length = text.length - between(text, text.length - 1)
        this.#view.dispatch(state.tr.delete($from.pos - length, $from.pos))
      }
    }
  }

  enter() {
    this.#press('Enter')
  }

  style(random) {
    this.#select(random)
    this.#editor.toggleStyles(random.pick(STYLES))
  }

  link(random) {
    this.#editor.createLink('https://somewhere.example', word(random))
  }

  block(random) {
    this.#editor.updateBlock(this.#block(random), random.pick(BLOCKS))
  }

  insert(random) {
    const image = { type: 'image', props: { url: 'data:image/gif;base64,R0lGODlhAQABAAAAACw=', caption: word(random) } }
    const text = { type: 'paragraph', content: [{ type: 'text', text: words(random, 2), styles: { bold: true } }] }
    const parent = { type: 'bulletListItem', content: word(random), children: [text] }
    const block = random.pick([image, text, parent])
    this.#editor.insertBlocks([block], this.#block(random), random.pick(['before', 'after']))
  }

  /** A new one, or another content for one that is there. */
  table(random) {
    const rows = Array.from({ length: random.between(1, 3) }, () => ({ cells: [word(random), words(random, 2)] }))
    const content = { type: 'tableContent', rows }
    const there = this.#editor.document.filter(({ type }) => type === 'table')
    if (there.length > 0 && random.chance(0.5)) this.#editor.updateBlock(random.pick(there), { content })
    else this.#editor.insertBlocks([{ type: 'table', content }], this.#block(random), 'after')
  }

  remove(random) {
    if (this.#editor.document.length > 3) this.#editor.removeBlocks([this.#block(random)])
  }

  nest(random) {
    if (random.chance(0.6)) this.#editor.nestBlock()
    else this.#editor.unnestBlock()
  }

  move(random) {
    if (random.chance(0.5)) return random.chance(0.5) ? this.#editor.moveBlocksUp() : this.#editor.moveBlocksDown()
    const [from, to] = [this.#block(random), this.#block(random)]
    if (from === to || from.children.length > 0) return
    this.#editor.transact(() => {
      this.#editor.removeBlocks([from])
      this.#editor.insertBlocks([from], to, 'after')
    })
  }

  replace(random) {
    this.#select(random)
    this.#write(word(random))
  }

  paste(random) {
    this.#editor.pasteHTML(
      `<h2>${words(random, 2)}</h2><p>a <b>${word(random)}</b></p><ul><li>${word(random)}</li></ul>`,
    )
  }

  /** Somebody begins a thread, answers in one, resolves it, or reacts. */
  thread(random) {
    const body = [{ type: 'paragraph', content: words(random, 3) }]
    const threads = [...this.#threads.getThreads().values()]
    if (threads.length > 0 && random.chance(0.7)) return this.#answer(random, random.pick(threads), body)
    return this.#threads.createThread({ initialComment: { body } })
  }

  undo() {
    this.#editor.undo()
  }

  redo() {
    this.#editor.redo()
  }

  destroy() {
    this.#editor.unmount()
  }

  get #view() {
    return this.#editor.prosemirrorView
  }

  async #answer(random, { id: threadId, comments }, body) {
    const commentId = random.pick(comments).id
    const ways = {
      add: () => this.#threads.addComment({ threadId, comment: { body } }),
      update: () => this.#threads.updateComment({ threadId, commentId, comment: { body } }),
      remove: () => this.#threads.deleteComment({ threadId, commentId }),
      resolve: () => this.#threads.resolveThread({ threadId }),
      react: () => this.#threads.addReaction({ threadId, commentId, emoji: '🎉' }),
    }
    await ways[random.weighed({ add: 4, update: 2, remove: 1, resolve: 1, react: 2 })]()
  }

  #block(random) {
    const blocks = []
    this.#editor.forEachBlock((block) => blocks.push(block) > 0)
    return random.pick(blocks)
  }

  /** A selection in the text where the cursor is, or over two blocks. */
  #select(random) {
    if (random.chance(0.2)) {
      const [first, second] = this.#editor.document
      if (second !== undefined) return this.#editor.setSelection(first, second)
    }
    const { state } = this.#view
    const { $from } = state.selection
    const start = $from.start()
    const ends = [random.between(start, $from.end()), random.between(start, $from.end())].map((at) => {
      return /[\udc00-\udfff]/.test(state.doc.textBetween(at, Math.min(at + 1, $from.end()))) ? at - 1 : at
    })
    this.#editor._tiptapEditor.commands.setTextSelection({ from: Math.min(...ends), to: Math.max(...ends) })
  }

  /** Sign by sign, as the browser tells ProseMirror. */
  #write(text) {
    for (const sign of text) {
      const { from, to } = this.#view.state.selection
      const insert = () => this.#view.state.tr.insertText(sign, from, to)
      const taken = this.#view.someProp('handleTextInput', (handle) => handle(this.#view, from, to, sign, insert))
      if (!taken) this.#view.dispatch(insert())
    }
  }

  #press(key) {
    const event = new KeyboardEvent('keydown', { key })
    this.#view.someProp('handleKeyDown', (handle) => handle(this.#view, event))
  }
}
