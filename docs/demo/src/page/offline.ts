/** Keep the whole site on the device (src/service_worker.js), and say so once that is done. */
export async function keepForOffline(note: HTMLElement): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("service_worker.js");
    await navigator.serviceWorker.ready;
    note.textContent = "This page now works offline, too.";
  } catch {
    note.textContent = "This browser does not keep the page for offline use.";
  }
}
