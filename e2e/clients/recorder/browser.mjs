// A browser's document for editors that need one.

import { JSDOM } from 'jsdom'

const { window } = new JSDOM('<!doctype html><html><body></body></html>', { pretendToBeVisual: false })

// Whatever a page can name. What Node.js has of the same name stays, but for `navigator`, which editors ask for a platform.
for (const name of Object.getOwnPropertyNames(window)) {
  if (name in globalThis && name !== 'navigator') continue
  Object.defineProperty(globalThis, name, { get: () => window[name], set: () => {}, configurable: true })
}

class ClipboardEvent extends window.Event {
  clipboardData = null
}
globalThis.ClipboardEvent = ClipboardEvent

// What jsdom lacks, since it lays nothing out.
const nowhere = { top: 0, left: 0, right: 0, bottom: 0, width: 0, height: 0, x: 0, y: 0 }
window.Range.prototype.getClientRects = () => []
window.Range.prototype.getBoundingClientRect = () => nowhere
window.Element.prototype.getClientRects = () => []
window.Element.prototype.scrollIntoView = () => {}
window.document.elementFromPoint = () => null
// Everything that is drawn would be drawn by these; nobody looks.
const frames = (callback) => setTimeout(() => callback(0), 0)
window.requestAnimationFrame = frames
window.cancelAnimationFrame = clearTimeout

/** An element that an editor can be mounted in. */
export function mount() {
  const element = window.document.createElement('div')
  window.document.body.append(element)
  return element
}
