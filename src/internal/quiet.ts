/** Promises whose rejection may go unnoticed. */

/** `promise`, whose rejection may go unnoticed. */
export function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** `running`, whose rejection may go unnoticed unless it is for the caller to handle, as `isCallers` tells then. */
export function quietlyUnless<T>(isCallers: () => boolean, running: Promise<T>): Promise<T> {
  const told: Promise<T> = running.catch((error: unknown) => {
    if (!isCallers()) told.catch(() => {});
    throw error;
  });
  return told;
}
