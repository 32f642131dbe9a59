// One random edit of an editor, anywhere in its document.

import * as Y from 'yjs'
import { sharedTypes } from './tree.mjs'
import { anything, json, key, listed, node, plain, text } from './values.mjs'

/** Beyond this a list is rather cut than grown, so that rounds stay short. */
const LONG = 60

/** Gives the roots their kinds, as an application does when it opens a document. */
export function open(doc) {
  return [doc.getMap('map'), doc.getArray('array'), doc.getText('text'), doc.getXmlFragment('xml')]
}

/** Changes something; only in the root `focus` if there is one, so that all editors meet in the same place. */
export function edit(doc, random, focus = null) {
  const types = focus === null ? sharedTypes(doc) : [doc.share.get(focus)]
  // Roots are drawn as often as everything within them: otherwise deep types would get most of the edits.
  const type = random.pick(random.chance(0.5) ? types.slice(0, doc.share.size) : types)
  if (type instanceof Y.Text) editText(type, random)
  else if (type instanceof Y.Array) editArray(type, random)
  else if (type instanceof Y.Map) editMap(type, random)
  else editXml(type, random)
}

/**
 * Somebody types or appends, one piece a transaction: behind `cursor`, what was written last, or elsewhere. `pause` is
 * called between two pieces. Gives the new cursor.
 */
export function typeOn(doc, random, focus, cursor, pause) {
  const here = cursor && Y.createAbsolutePositionFromRelativePosition(cursor, doc)
  const list = here ? here.type : random.pick(lists(doc, focus))
  let at = here ? here.index : random.pick([0, list.length, list.length, list.length, random.below(list.length + 1)])
  for (let count = random.between(1, 8); count > 0; count -= 1) {
    if (at > 0 && random.chance(0.15)) {
      at -= 1
      list.delete(at, 1)
    } else {
      const before = list.length
      if (list instanceof Y.Text) list.insert(at, random.chance(0.8) ? random.pick('abcde') : text(random))
      else list.insert(at, [random.chance(0.8) ? random.below(100) : listed(random)])
      at += list.length - before
    }
    cursor = Y.createRelativePositionFromTypeIndex(list, at, -1)
    pause()
    const place = Y.createAbsolutePositionFromRelativePosition(cursor, doc)
    // What came in the pause may have deleted the list.
    if (place === null || place.type._item?.deleted) return null
    at = place.index
  }
  return cursor
}

function lists(doc, focus) {
  const all = sharedTypes(doc).filter((type) => type instanceof Y.Text || type instanceof Y.Array)
  const focused = all.filter((type) => type === doc.share.get(focus))
  return focused.length > 0 ? focused : all
}

function editMap(map, random) {
  if (random.chance(0.03)) map.clear()
  else if (random.chance(0.2)) map.delete(key(random))
  else map.set(key(random), anything(random))
}

function editArray(array, random) {
  if (array.length > 0 && random.chance(array.length > LONG ? 0.8 : 0.3)) {
    remove(array, random, 4)
  } else {
    array.insert(
      random.below(array.length + 1),
      Array.from({ length: random.between(1, 4) }, () => listed(random)),
    )
  }
}

function editText(text_, random) {
  const at = random.below(text_.length + 1)
  switch (
    random.weighed({ insert: 8, remove: text_.length > LONG ? 16 : 4, format: 4, embed: 1, delta: 1, attribute: 1 })
  ) {
    case 'insert':
      if (random.chance(0.8)) text_.insert(at, text(random))
      else text_.insert(at, text(random), attributes(random))
      break
    case 'remove':
      if (text_.length > 0) remove(text_, random, 8)
      break
    case 'format':
      if (text_.length > 0) {
        const from = random.below(text_.length)
        text_.format(from, random.between(1, text_.length - from), attributes(random))
      }
      break
    case 'embed':
      // A Y.Text also takes shared types as embeds.
      if (random.chance(0.2)) text_.insertEmbed(at, new Y.Map([['in', plain(random)]]))
      else text_.insertEmbed(at, object(json(random)))
      break
    case 'delta':
      text_.applyDelta([{ retain: at }, { insert: text(random), attributes: attributes(random) }])
      break
    default:
      if (random.chance(0.3)) text_.removeAttribute('dir')
      else text_.setAttribute('dir', plain(random))
  }
}

function editXml(xml, random) {
  if (xml instanceof Y.XmlElement && random.chance(0.4)) {
    if (random.chance(0.3)) xml.removeAttribute('id')
    else xml.setAttribute(random.pick(['id', 'class']), random.chance(0.7) ? text(random) : plain(random))
  } else if (xml.length > 0 && random.chance(xml.length > 10 ? 0.8 : 0.3)) {
    remove(xml, random, 2)
  } else {
    xml.insert(random.below(xml.length + 1), [node(random)])
  }
}

/** A range that may begin or end in the middle of a surrogate pair. */
function remove(list, random, most) {
  const at = random.below(list.length)
  list.delete(at, Math.min(random.between(1, most), list.length - at))
}

const attributes = (random) => ({
  [random.pick(['bold', 'link', 'é'])]: random.chance(0.3) ? null : json(random),
})

const object = (value) => (typeof value === 'object' ? value : { value })
