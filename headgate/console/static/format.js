// Numbers, money and times as people read them. Every function takes null and answers with a dash.
const DASH = "–";

/** Money in the major unit; cents are shown below 100 only when asked for. */
export function money(value, currency = "USD", { cents = false } = {}) {
  if (value == null) return DASH;
  const digits = cents && !Number.isInteger(Number(value)) ? 2 : 0;
  return new Intl.NumberFormat(undefined, {
    style: "currency", currency: currency || "USD", minimumFractionDigits: digits, maximumFractionDigits: digits,
  }).format(value);
}

export function count(value, digits = 0) {
  if (value == null) return DASH;
  return new Intl.NumberFormat(undefined, { maximumFractionDigits: digits }).format(value);
}

/** A share 0…1 as a percentage. */
export function share(value, digits = 0) {
  if (value == null) return DASH;
  const text = (100 * value).toFixed(digits);
  return (text === "100" && value < 1 ? "99.9" : text) + " %";
}

/** A change in percent with its sign. */
export function change(value) {
  if (value == null) return DASH;
  const rounded = Math.abs(value) < 10 ? Number(value).toFixed(1) : Math.round(value);
  if (Number(rounded) === 0) return "0 %";
  return (value > 0 ? "+" : "−") + String(rounded).replace("-", "") + " %";
}

/** A duration in seconds, two figures at most: 42 s, 3 min, 2 h 10 min, 4 d. */
export function duration(seconds) {
  if (seconds == null) return DASH;
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) {
    const minutes = Math.floor((s % 3600) / 60);
    return `${Math.floor(s / 3600)} h` + (minutes && s < 36000 ? ` ${minutes} min` : "");
  }
  return `${Math.floor(s / 86400)} d`;
}

export function ago(seconds) {
  if (seconds == null) return "never";
  return seconds < 2 ? "just now" : `${duration(seconds)} ago`;
}

export function until(iso) {
  if (!iso) return DASH;
  const seconds = (new Date(iso) - Date.now()) / 1000;
  if (seconds < -10800) return "over";
  if (seconds < 0) return "now";
  return `in ${duration(seconds)}`;
}

/** A point in time; with a time zone, as the clock at the venue shows it. */
export function when(iso, tz, style = "full") {
  if (!iso) return DASH;
  const options = style === "day" ? { weekday: "short", month: "short", day: "numeric" }
    : style === "minute" ? { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }
    : style === "hour" ? { weekday: "short", hour: "2-digit", minute: "2-digit", hour12: false }
    : { weekday: "short", month: "short", day: "numeric", year: "numeric", hour: "2-digit", minute: "2-digit", hour12: false };
  try {
    return new Intl.DateTimeFormat(undefined, { ...options, timeZone: tz || undefined }).format(new Date(iso));
  } catch {
    return new Intl.DateTimeFormat(undefined, options).format(new Date(iso));
  }
}

/** An interval such as 3–7, or one number when both ends agree. */
export function range(lo, hi) {
  if (lo == null || hi == null) return DASH;
  return Number(lo) === Number(hi) ? count(lo) : `${count(lo)}–${count(hi)}`;
}
