/** What the arrow keys do, in every widget alike. */

/**
 * With one of these held down a key is the browser's or the notebook's own.
 * @param {KeyboardEvent} event
 */
const isTheirs = (event) => event.ctrlKey || event.metaKey || event.altKey;

const within = (at, last) => Math.max(0, Math.min(at, last));

/**
 * Where a key leads in a list: to its neighbors, its first or its last one. Null for any other key.
 * @param {KeyboardEvent} event
 * @param {number} at
 * @param {number} last
 * @returns {number | null}
 */
export function stepInList(event, at, last) {
  const to = {
    ArrowLeft: at - 1,
    ArrowUp: at - 1,
    ArrowRight: at + 1,
    ArrowDown: at + 1,
    Home: 0,
    End: last,
  }[event.key];
  if (to === undefined || isTheirs(event)) return null;
  event.preventDefault();
  return within(to, last);
}

/**
 * Where a key leads in a grid; an edge holds. With Ctrl, Home and End lead to the corners. Null for
 * any other key.
 * @param {KeyboardEvent} event
 * @param {{row: number, column: number}} at
 * @param {{rows: number, columns: number, page?: number}} size  `page`: columns that PageUp and
 *   PageDown go
 * @returns {{row: number, column: number} | null}
 */
export function stepInGrid(event, { row, column }, { rows, columns, page = 0 }) {
  const whole = event.ctrlKey || event.metaKey;
  /** @type {Record<string, number[]>} */
  const moves = {
    ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1],
    ArrowUp: [row - 1, column],
    ArrowDown: [row + 1, column],
    Home: [whole ? 0 : row, 0],
    End: [whole ? rows - 1 : row, columns - 1],
    ...(page ? { PageUp: [row, column - page], PageDown: [row, column + page] } : {}),
  };
  const to = moves[event.key];
  const isOurs = ["Home", "End"].includes(event.key) ? !event.altKey : !isTheirs(event);
  if (!to || !isOurs) return null;
  event.preventDefault();
  return { row: within(to[0], rows - 1), column: within(to[1], columns - 1) };
}
