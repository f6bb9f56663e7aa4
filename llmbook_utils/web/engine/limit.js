/** How many characters of a text are tokenized. */
export const LIMIT = 2000;
