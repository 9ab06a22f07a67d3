/**
 * How many of the numbers in `ascending` are not above `limit`; put differently, the index of the first that is.
 *
 * `ascending` is strictly ascending. Takes logarithmic time.
 */
export function countUpTo(ascending: readonly number[], limit: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] as number) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
