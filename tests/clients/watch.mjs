// What the programs of this folder share, in Node and in a browser: counting the calls of methods, checks, and the
// table of methods at the end.
import assert from "node:assert/strict"
import { exit, isBrowser } from "./host.mjs"

export const methods = new Map()
let inside = new Set()
let failed = 0

/** Count the calls of a method from now on. */
export function watched(object, name, label = name) {
  const original = object[name]
  assert.equal(typeof original, "function", label)
  if (!methods.has(label)) methods.set(label, { calls: 0, passed: 0, failed: 0 })
  object[name] = function (...args) {
    inside.add(label)
    methods.get(label).calls += 1
    return original.apply(this, args)
  }
}
/** Run one check; every method that it calls passes or fails with it. */
export async function check(name, run) {
  inside = new Set()
  let passed = true
  try {
    await run()
  } catch (error) {
    passed = false
    failed += 1
    const where = (error.stack ?? "").split("\n").find((line) => /\w+\.mjs:\d+/.test(line)) ?? ""
    console.log(`not ok ${name}: ${error.message} ${where.trim()}`)
  }
  for (const used of inside) methods.get(used)[passed ? "passed" : "failed"] += 1
  if (passed) console.log(`ok ${name}`)
}
/** A part that no browser can do; the table says why. */
export function onlyInNode(what, why) {
  if (isBrowser) console.log(`# Node only: ${what}: ${why}`)
  return !isBrowser
}
/** Its data; an error fails the check. */
export async function data(query) {
  const reply = await query
  assert.equal(reply.error, null, `${reply.error?.code} ${reply.error?.message} ${JSON.stringify(reply.error)}`)
  return reply.data
}
/** Its error; data fails the check. */
export async function refusal(query) {
  const reply = await query
  assert.notEqual(reply.error, null, `no error, but ${JSON.stringify(reply.data)}`)
  return reply.error
}
/** Print the table and end: with 1 if a check failed or a method was never called. */
export function report(left = /^$/) {
  const shown = [...methods].filter(([name]) => !left.test(name)).sort()
  const width = Math.max(...shown.map(([name]) => name.length))
  let good = 0
  for (const [name, { calls, passed, failed: bad }] of shown) {
    const verdict = calls === 0 ? "NEVER CALLED" : bad || !passed ? "FAIL" : "pass"
    if (verdict === "pass") good += 1
    console.log(`${name.padEnd(width)}  ${String(calls).padStart(4)} calls  ${verdict}`)
  }
  console.log(`${good} of ${shown.length} methods pass`)
  exit(failed || good !== shown.length ? 1 : 0)
}
