// Lexical, headless, bound by @lexical/yjs as its React plugin does it: nested Y.XmlText with a Y.Map for each text.

import { createHeadlessEditor } from '@lexical/headless'
import { $createLinkNode, $toggleLink, LinkNode } from '@lexical/link'
import { $insertList, $removeList, ListItemNode, ListNode, registerList } from '@lexical/list'
import { $createHeadingNode, $createQuoteNode, HeadingNode, QuoteNode, registerRichText } from '@lexical/rich-text'
import { $setBlocksType } from '@lexical/selection'
import {
  $createTableNodeWithDimensions,
  $deleteTableColumnAtSelection,
  $deleteTableRowAtSelection,
  $getTableCellNodeFromLexicalNode,
  $insertTableColumnAtSelection,
  $insertTableRowAtSelection,
  TableCellNode,
  TableNode,
  TableRowNode,
} from '@lexical/table'
import { createUndoManager, createYjsBinding, syncLexicalUpdateToYjs, syncYjsChangesToLexical } from '@lexical/yjs'
import {
  $createLineBreakNode,
  $createParagraphNode,
  $createRangeSelection,
  $createTextNode,
  $getRoot,
  $getSelection,
  $isElementNode,
  $isRangeSelection,
  $isTextNode,
  $setSelection,
  COLLABORATION_TAG,
  DecoratorNode,
  HISTORIC_TAG,
  HISTORY_MERGE_TAG,
  INDENT_CONTENT_COMMAND,
  INSERT_PARAGRAPH_COMMAND,
  OUTDENT_CONTENT_COMMAND,
  SKIP_COLLAB_TAG,
} from 'lexical'
import * as Y from 'yjs'
import { between, composed, word, words } from '../words.mjs'

const WEIGHTS = {
  type: 14,
  erase: 5,
  enter: 4,
  mark: 4,
  link: 1,
  block: 3,
  list: 3,
  indent: 1,
  table: 2,
  image: 1,
  breakLine: 1,
  replace: 2,
  compose: 1,
  paste: 1,
  move: 1,
  undo: 2,
  redo: 1,
}
const MARKS = ['bold', 'italic', 'underline', 'strikethrough', 'code', 'highlight', 'subscript']

/** What an application adds: Lexical has no images of its own. */
class ImageNode extends DecoratorNode {
  __source = ''
  __width = 0

  static getType() {
    return 'image'
  }

  static clone(node) {
    const copy = new ImageNode(node.__key)
    Object.assign(copy, { __source: node.__source, __width: node.__width })
    return copy
  }

  static importJSON() {
    return new ImageNode()
  }

  show(source, width) {
    Object.assign(this.getWritable(), { __source: source, __width: width })
    return this
  }
}

const NODES = [
  HeadingNode,
  QuoteNode,
  ListNode,
  ListItemNode,
  LinkNode,
  TableNode,
  TableRowNode,
  TableCellNode,
  ImageNode,
]

/** What the binding asks of a provider: others' cursors, of which there are none here. */
const provider = () => {
  let state = null
  const awareness = {
    getLocalState: () => state,
    getStates: () => new Map(),
    setLocalState: (next) => {
      state = next
    },
    setLocalStateField: () => {},
    on: () => {},
    off: () => {},
  }
  return { awareness, connect: () => {}, disconnect: () => {}, on: () => {}, off: () => {} }
}

export class Editor {
  #editor
  #undo

  constructor(doc) {
    const onError = (error) => {
      throw error
    }
    this.#editor = createHeadlessEditor({ namespace: 'recorder', nodes: NODES, onError })
    registerRichText(this.#editor)
    registerList(this.#editor)
    this.#bind(doc)
    const first = () => $getRoot().isEmpty() && $getRoot().append($createParagraphNode())
    this.#editor.update(first, { discrete: true, tag: HISTORY_MERGE_TAG })
  }

  #bind(doc) {
    const none = provider()
    const binding = createYjsBinding({ editor: this.#editor, id: 'main', doc, docMap: new Map([['main', doc]]) })
    const root = binding.root.getSharedType()
    root.observeDeep((events, { origin }) => {
      if (origin === binding) return
      syncYjsChangesToLexical(binding, none, events, origin instanceof Y.UndoManager, () => {})
    })
    this.#editor.registerUpdateListener((update) => {
      const { prevEditorState, editorState, dirtyElements, dirtyLeaves, normalizedNodes, tags } = update
      if (tags.has(SKIP_COLLAB_TAG)) return
      syncLexicalUpdateToYjs(
        binding,
        none,
        prevEditorState,
        editorState,
        dirtyElements,
        dirtyLeaves,
        normalizedNodes,
        tags,
      )
    })
    this.#undo = createUndoManager(binding, root)
  }

  act(random) {
    const way = random.weighed(WEIGHTS)
    if (way === 'undo' || way === 'redo') return void this.#undo[way]()
    this.#edit(() => {
      if (random.chance(0.15) || !$isRangeSelection($getSelection())) this.#select(random, 0)
      this[way](random, $getSelection())
    })
  }

  /** Sign by sign, each in an update of its own. */
  type(random) {
    for (const sign of `${words(random, random.between(1, 2))} `) this.#soon(() => $getSelection()?.insertText(sign))
  }

  erase(random) {
    for (let count = random.between(1, 5); count > 0; count -= 1) {
      this.#soon(() => {
        const selection = $getSelection()
        if (!$isRangeSelection(selection) || !selection.isCollapsed()) return
        const { key, offset, type } = selection.anchor
        if (type !== 'text' || offset === 0)
          return void selection.anchor.getNode().getParent()?.collapseAtStart?.(selection)
        const start = between(selection.anchor.getNode().getTextContent(), offset - 1)
        selection.anchor.set(key, start, 'text')
        selection.removeText()
      })
    }
  }

  enter() {
    this.#soon(() => this.#editor.dispatchCommand(INSERT_PARAGRAPH_COMMAND, undefined))
  }

  mark(random) {
    this.#select(random, 2).formatText(random.pick(MARKS))
  }

  link(random) {
    this.#select(random, 1)
    $toggleLink(random.chance(0.3) ? null : 'https://somewhere.example')
  }

  block(random, selection) {
    const make = random.pick([
      () => $createHeadingNode('h1'),
      () => $createHeadingNode('h3'),
      $createQuoteNode,
      $createParagraphNode,
    ])
    $setBlocksType(selection, make)
    const align = random.pick(['center', ''])
    for (const node of selection.getNodes()) if ($isElementNode(node) && !node.isInline()) node.setFormat(align)
  }

  list(random) {
    this.#select(random, 3)
    if (random.chance(0.3)) $removeList()
    else $insertList(random.pick(['bullet', 'number', 'check']))
  }

  indent(random) {
    this.#editor.dispatchCommand(random.chance(0.7) ? INDENT_CONTENT_COMMAND : OUTDENT_CONTENT_COMMAND, undefined)
  }

  table(random, selection) {
    if ($getTableCellNodeFromLexicalNode(selection.anchor.getNode()) === null) {
      const table = $createTableNodeWithDimensions(random.between(1, 3), random.between(1, 3), random.chance(0.5))
      selection.anchor.getNode().getTopLevelElement()?.insertAfter(table)
      return
    }
    random.pick([
      $insertTableRowAtSelection,
      $insertTableColumnAtSelection,
      $deleteTableRowAtSelection,
      $deleteTableColumnAtSelection,
    ])()
  }

  /** A new one, or another width for one that is there. */
  image(random, selection) {
    const there = $getRoot()
      .getChildren()
      .flatMap((block) => ($isElementNode(block) ? block.getChildren() : []))
      .filter((node) => node instanceof ImageNode)
    if (there.length > 0 && random.chance(0.5)) random.pick(there).show('a.png', random.between(1, 900))
    else selection.insertNodes([new ImageNode().show('a.png', 100)])
  }

  breakLine(random, selection) {
    selection.insertNodes([$createLineBreakNode()])
  }

  replace(random) {
    this.#select(random, 3).insertText(word(random))
  }

  compose(random) {
    for (const text of ['n', 'ni', 'nih', composed(random)]) {
      this.#soon(() => {
        const selection = $getSelection()
        if (!$isRangeSelection(selection)) return
        const { key, offset, type } = selection.anchor
        const length = text.length === 1 ? 0 : text.length - 1
        if (type === 'text' && offset >= length)
          selection.anchor.set(key, between(selection.anchor.getNode().getTextContent(), offset - length), 'text')
        selection.insertText(text)
      })
    }
  }

  paste(random, selection) {
    const paragraph = $createParagraphNode().append($createTextNode(words(random, 3)))
    const link = $createLinkNode('https://elsewhere.example').append($createTextNode(word(random)))
    const heading = $createHeadingNode('h2').append($createTextNode(words(random, 2)).toggleFormat('italic'), link)
    selection.insertNodes([heading, paragraph])
  }

  /** Drags a block to another place. */
  move(random) {
    const blocks = $getRoot().getChildren()
    const [from, to] = [random.pick(blocks), random.pick(blocks)]
    if (from !== to) to.insertAfter(from)
  }

  destroy() {}

  #edit(change) {
    this.#editor.update(change, { discrete: true })
    for (const each of this.#later.splice(0)) this.#editor.update(each, { discrete: true })
  }

  /** What comes when the update of now is over, each as an update of its own. */
  #later = []

  #soon(change) {
    this.#later.push(change)
  }

  /** From somewhere in a text to somewhere in one of the next `texts` ones; for 0 a cursor. */
  #select(random, texts) {
    const all = $getRoot().getAllTextNodes()
    const selection = $createRangeSelection()
    const first = random.below(all.length)
    const node = all[first]
    if (node === undefined || random.chance(0.1)) {
      const block = random.pick($getRoot().getChildren())
      if (block === undefined) return $getRoot().selectEnd()
      return $isElementNode(block) ? block.selectEnd() : block.selectNext()
    }
    const place = (text) => between(text.getTextContent(), random.between(0, text.getTextContentSize()))
    const start = place(node)
    const last = all[Math.min(all.length - 1, first + random.between(0, texts))]
    const end = texts === 0 ? start : last === node ? Math.max(start, place(node)) : place(last)
    selection.anchor.set(node.getKey(), start, 'text')
    selection.focus.set((texts === 0 ? node : last).getKey(), end, 'text')
    $setSelection(selection)
    return selection
  }
}
