// The vendored library's hooks under their usual names, in one place.
export {
  html, render, Component, useState, useReducer, useEffect, useLayoutEffect, useRef, useMemo, useCallback,
} from "./vendor/htm-preact-standalone.module.js";
