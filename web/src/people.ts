import type { Present } from './session'

/** Shows who is here. */
export function showPeople(list: HTMLElement, people: readonly Present[]): void {
  list.replaceChildren(...people.map(entry))
}

function entry({ name, color, isSelf }: Present): HTMLLIElement {
  const item = document.createElement('li')
  item.className = 'person'
  item.style.setProperty('--person', color)
  const initial = document.createElement('span')
  initial.className = 'initial'
  initial.setAttribute('aria-hidden', 'true')
  initial.textContent = (Array.from(name)[0] ?? '?').toUpperCase()
  const label = document.createElement('span')
  label.className = 'person-name'
  label.textContent = isSelf ? `${name} (you)` : name
  item.append(initial, label)
  return item
}
