import { documentFromPath, freshDocumentId, pathOf, WELCOME } from './document-id'
import { createEditor } from './editor'
import { showPeople } from './people'
import { cleanName, person, rememberedName, rememberName } from './person'
import { openSession } from './session'
import { fillToolbar } from './toolbar'
import './style.css'

const id = documentFromPath(location.pathname)
if (id === null) {
  // `/`, and any path that no document can have.
  location.replace(pathOf(WELCOME))
} else {
  start(id)
}

function start(id: string): void {
  document.title = `${id} · EditorCluster`
  element('document').textContent = id
  element('new-document').setAttribute('href', pathOf(freshDocumentId()))

  const self = person(rememberedName())
  const session = openSession(id, location)
  const editor = createEditor(element('editor'), session, self)
  fillToolbar(element('toolbar'), editor)

  const name = element('name') as HTMLInputElement
  name.value = self.name
  name.addEventListener('input', () => {
    editor.commands.updateUser({ ...person(name.value) })
  })
  name.addEventListener('change', () => {
    const chosen = cleanName(name.value)
    name.value = person(chosen).name
    rememberName(chosen)
  })

  const status = element('status')
  session.onStatus(({ kind, text }) => {
    status.dataset['kind'] = kind
    status.textContent = text
  })
  session.onPeople((people) => {
    showPeople(element('people'), people)
  })
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`index.html has no element #${id}`)
  return found
}
