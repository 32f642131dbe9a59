import type { Editor } from '@tiptap/core'

interface Tool {
  readonly label: string
  readonly sign: string
  readonly keys: string
  isActive(editor: Editor): boolean
  apply(editor: Editor): void
}

const heading = (level: 1 | 2 | 3): Tool => ({
  label: `Heading ${level}`,
  sign: `H${level}`,
  keys: `Control+Alt+${level}`,
  isActive: (editor) => editor.isActive('heading', { level }),
  apply: (editor) => editor.chain().focus().toggleHeading({ level }).run(),
})

const TOOLS: readonly Tool[] = [
  {
    label: 'Bold',
    sign: 'B',
    keys: 'Control+B',
    isActive: (editor) => editor.isActive('bold'),
    apply: (editor) => editor.chain().focus().toggleBold().run(),
  },
  {
    label: 'Italic',
    sign: 'I',
    keys: 'Control+I',
    isActive: (editor) => editor.isActive('italic'),
    apply: (editor) => editor.chain().focus().toggleItalic().run(),
  },
  heading(1),
  heading(2),
  heading(3),
]

/**
 * Fills a `role="toolbar"` element. Tab reaches it once; the arrow keys, Home and End go from button to button, as the
 * ARIA practice for toolbars has it.
 */
export function fillToolbar(toolbar: HTMLElement, editor: Editor): void {
  const buttons = TOOLS.map((tool, index) => button(tool, editor, index === 0))
  toolbar.replaceChildren(...buttons)
  toolbar.addEventListener('keydown', (event) => {
    const from = buttons.indexOf(event.target as HTMLButtonElement)
    const to = from === -1 ? null : target(event.key, from, buttons.length)
    if (to === null) return
    event.preventDefault()
    buttons.forEach((each, index) => {
      each.tabIndex = index === to ? 0 : -1
    })
    buttons[to]?.focus()
  })
  const show = () => {
    TOOLS.forEach((tool, index) => {
      buttons[index]?.setAttribute('aria-pressed', String(tool.isActive(editor)))
    })
  }
  editor.on('transaction', show)
  show()
}

/** The index of the button that a key leads to, or null if it is none of the toolbar's keys. */
export function target(key: string, from: number, count: number): number | null {
  switch (key) {
    case 'ArrowRight':
      return (from + 1) % count
    case 'ArrowLeft':
      return (from + count - 1) % count
    case 'Home':
      return 0
    case 'End':
      return count - 1
    default:
      return null
  }
}

function button(tool: Tool, editor: Editor, reachable: boolean): HTMLButtonElement {
  const element = document.createElement('button')
  element.type = 'button'
  element.className = `tool tool-${tool.sign.toLowerCase()}`
  element.textContent = tool.sign
  element.title = `${tool.label} (${tool.keys.replace('Control', 'Ctrl')})`
  element.setAttribute('aria-label', tool.label)
  element.setAttribute('aria-keyshortcuts', tool.keys)
  element.tabIndex = reachable ? 0 : -1
  // The text keeps its selection when the mouse is pressed on a button.
  element.addEventListener('mousedown', (event) => {
    event.preventDefault()
  })
  element.addEventListener('click', () => {
    tool.apply(editor)
  })
  return element
}
