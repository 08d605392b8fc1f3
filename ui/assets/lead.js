export default function (component) {
  const go = component.data.go;
  if (!go || window.inquisightLed === go.number) { return; }
  window.inquisightLed = go.number;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let target = null;
  let left = 100;                           // polls of 50 ms
  const timer = setInterval(() => {
    left -= 1;
    const elsewhere = ![document.body, target, null].includes(document.activeElement);
    if (!left || window.inquisightLed !== go.number || (target && elsewhere)) { clearInterval(timer); return; }
    if (target && target.isConnected && document.activeElement === target) { return; }
    const place = document.querySelector(".st-key-" + CSS.escape(go.key));
    if (!place) { return; }
    // Streamlit draws a button with a hint twice, one of them hidden.
    const controls = [...place.querySelectorAll("button, input, textarea, a, [tabindex='0']")];
    const control = go.control ? controls.find((one) => one.getClientRects().length && !one.disabled) : null;
    const first = target === null;
    target = control || place;
    if (!control) { target.tabIndex = -1; }
    if (first) {
      target.style.scrollMarginTop = "4.5rem";
      target.scrollIntoView({ block: go.control ? "nearest" : "start", behavior: still ? "auto" : "smooth" });
    }
    target.focus({ preventScroll: true });
  }, 50);
}
