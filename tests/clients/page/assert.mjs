// The part of Node's strict assert that the programs use, for a browser.
function shown(value) {
  return typeof value === "bigint" ? `${value}n` : JSON.stringify(value) ?? String(value)
}
function same(a, b) {
  if (Object.is(a, b)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]))
}
function ok(value, message = `${shown(value)} is not true`) {
  if (!value) throw new Error(message)
}
export default Object.assign(ok, {
  ok,
  fail: (message) => ok(false, message ?? "failed"),
  equal: (a, b, message) => ok(Object.is(a, b), message ?? `${shown(a)} is not ${shown(b)}`),
  notEqual: (a, b, message) => ok(!Object.is(a, b), message ?? `${shown(a)} twice`),
  deepEqual: (a, b, message) => ok(same(a, b), message ?? `${shown(a)} is not ${shown(b)}`),
  match: (text, pattern, message) => ok(pattern.test(text), message ?? `${shown(text)} does not match ${pattern}`),
  doesNotMatch: (text, pattern) => ok(!pattern.test(text), `${shown(text)} matches ${pattern}`),
  async rejects(promise, pattern) {
    let error
    try {
      await (typeof promise === "function" ? promise() : promise)
    } catch (caught) {
      error = caught
    }
    ok(error, "nothing was thrown")
    ok(!pattern || pattern.test(String(error)), `${error} does not match ${pattern}`)
  },
})
