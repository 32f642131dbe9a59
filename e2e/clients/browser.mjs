// Two people in real browsers write one document on the editor page and see each other.
//
//   node browser.mjs --url-a http://A/d/ID --url-b http://B/d/ID --screenshot PATH
//     [--chromium /usr/bin/chromium] [--deadline 60]
//
// The two URLs name the same, empty document, on two gateways or one. Prints a "step" line for each thing seen and a
// "done" line at the end; a failure also leaves the two pages as PATH with -a and -b before its extension.

import { chromium } from 'playwright-core'
import { Deadline } from './lib/deadline.mjs'
import { options } from './lib/options.mjs'
import { report, runClient } from './lib/report.mjs'

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

async function main() {
  const given = options({
    'url-a': undefined,
    'url-b': undefined,
    screenshot: undefined,
    chromium: '/usr/bin/chromium',
    deadline: 60,
  })
  const deadline = new Deadline(given.deadline)
  // Playwright gives each launch a new, empty user data directory, and each context its own storage, so that the two
  // share nothing but the server.
  const browser = await chromium.launch({
    executablePath: given.chromium,
    headless: true,
    args: FLAGS,
    timeout: deadline.left,
  })
  try {
    const alice = await Visitor.open(browser, 'Alice', given['url-a'], deadline)
    const bob = await Visitor.open(browser, 'Bob', given['url-b'], deadline)
    try {
      await write(alice, bob)
    } catch (error) {
      await alice.screenshot(given.screenshot.replace(/(\.\w+)?$/, '-a$1'))
      await bob.screenshot(given.screenshot.replace(/(\.\w+)?$/, '-b$1'))
      throw error
    }
    await bob.screenshot(given.screenshot)
    report('done', { screenshot: given.screenshot, browser: browser.version() })
  } finally {
    await browser.close()
  }
}

async function write(alice, bob) {
  await alice.sees('Bob in the list of people', alice.page.getByRole('list', { name: 'Here now' }).getByText('Bob'))
  await bob.sees('Alice in the list of people', bob.page.getByRole('list', { name: 'Here now' }).getByText('Alice'))

  await alice.press('Heading 1')
  await alice.type('A shared page')
  await alice.key('Enter')
  await alice.type('Hello from ')
  await alice.press('Bold')
  await alice.type('Alice')

  await bob.sees('the heading', bob.text.locator('h1', { hasText: /^A shared page$/ }))
  await bob.sees('the bold word', bob.text.locator('strong', { hasText: 'Alice' }))
  await bob.sees('the sentence', bob.text.locator('p', { hasText: 'Hello from Alice' }))
  await bob.sees('the cursor with the name Alice', bob.text.locator('.caret-name', { hasText: /^Alice$/ }))

  await bob.text.locator('h1').click()
  await bob.key('Control+End')
  await bob.key('Enter')
  await bob.press('Bold', 'false')
  await bob.press('Italic')
  await bob.type('Hello from Bob')

  await alice.sees('the italic sentence', alice.text.locator('em', { hasText: /^Hello from Bob$/ }))
  await alice.sees('the cursor with the name Bob', alice.text.locator('.caret-name', { hasText: /^Bob$/ }))
}

/** Somebody at the editor page. */
class Visitor {
  static async open(browser, name, url, deadline) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 700 } })
    const visitor = new Visitor(await context.newPage(), name, deadline)
    await visitor.page.goto(url, { timeout: deadline.left })
    await visitor.page.getByLabel('Your name').fill(name)
    await visitor.sees('that it is connected', visitor.page.getByRole('status').filter({ hasText: /^Connected$/ }))
    if ((await visitor.text.innerText()).trim() !== '') {
      throw new Error(`the document at ${url} is not empty; name a new one`)
    }
    await visitor.text.click()
    return visitor
  }

  constructor(page, name, deadline) {
    this.page = page
    this.name = name
    this.deadline = deadline
    this.text = page.getByRole('textbox', { name: 'Document text' })
    page.on('pageerror', (error) => report('page-error', { who: name, message: error.message }))
  }

  /** Waits until `locator` is on the page, or says what was not. */
  async sees(what, locator) {
    try {
      await locator.first().waitFor({ state: 'visible', timeout: Math.max(1, this.deadline.left) })
    } catch (error) {
      throw new Error(`${this.name} did not see ${what} within ${this.deadline.seconds} s: ${error.message}`)
    }
    report('step', { who: this.name, sees: what })
  }

  /** Presses a button of the toolbar, if it isn't so already, and waits until its state is `pressed`. */
  async press(label, pressed = 'true') {
    const button = this.page.getByRole('toolbar').getByRole('button', { name: label })
    if ((await button.getAttribute('aria-pressed')) !== pressed) await button.click()
    const state = this.page.locator(`[role=toolbar] button[aria-label="${label}"][aria-pressed="${pressed}"]`)
    await this.sees(`${label} ${pressed === 'true' ? 'on' : 'off'}`, state)
  }

  type(text) {
    return this.page.keyboard.type(text)
  }

  key(name) {
    return this.page.keyboard.press(name)
  }

  screenshot(path) {
    return this.page.screenshot({ path })
  }
}

await runClient(main)
