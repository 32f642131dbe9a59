import { Editor } from '@tiptap/core'
import Collaboration from '@tiptap/extension-collaboration'
import CollaborationCaret from '@tiptap/extension-collaboration-caret'
import StarterKit from '@tiptap/starter-kit'
import { type Person, personFromAwareness } from './person'
import type { Session } from './session'

/** The editor of the session's document, in `element`, written as `self`. */
export function createEditor(element: HTMLElement, { doc, provider }: Session, self: Person): Editor {
  return new Editor({
    element,
    // style.css has the rules; an injected <style> would need a weaker content security policy.
    injectCSS: false,
    autofocus: true,
    extensions: [
      // Undo is the collaboration's: it takes back one's own edits only. No trailing paragraph of its own accord: every
      // reader's editor would add one to the shared text.
      StarterKit.configure({ undoRedo: false, trailingNode: false, heading: { levels: [1, 2, 3] } }),
      Collaboration.configure({ document: doc }),
      CollaborationCaret.configure({
        provider,
        user: { ...self },
        render: caret,
        selectionRender: selection,
      }),
    ],
    editorProps: {
      attributes: { 'aria-label': 'Document text', 'aria-multiline': 'true', role: 'textbox' },
    },
  })
}

/** Another person's cursor with their name on it. */
function caret(user: Record<string, unknown>): HTMLElement {
  const { name, color } = personFromAwareness(user)
  const bar = document.createElement('span')
  bar.className = 'caret'
  bar.style.setProperty('--person', color)
  const label = document.createElement('span')
  label.className = 'caret-name'
  label.textContent = name
  bar.append(label)
  return bar
}

function selection(user: Record<string, unknown>): { class: string; style: string } {
  // The colour has passed the check for #rrggbb, so that nothing else gets into the style.
  return { class: 'selected-by-other', style: `--person: ${personFromAwareness(user).color}` }
}
