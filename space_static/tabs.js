// Tabs: https://www.w3.org/WAI/ARIA/apg/patterns/tabs/

const tabs = [...document.querySelectorAll("[role=tab]")];

/** Clicks, arrow keys, Home and End select a tab. */
export function connectTabs() {
  tabs.forEach((tab, index) => {
    tab.onclick = () => {
      const hash = `#${tab.id.replace("tab-", "")}`;
      // An assignment to `location.hash` would move the focus to the element with this id.
      if (location.hash !== hash) history.pushState(null, "", hash);
      dispatchEvent(new Event("hashchange"));
    };
    tab.onkeydown = (event) => {
      const last = tabs.length - 1;
      const next = { ArrowRight: index === last ? 0 : index + 1, ArrowLeft: index === 0 ? last : index - 1,
        Home: 0, End: last }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      tabs[next].focus();
      tabs[next].click();
    };
  });
}

/** Show a tab by its name; an unknown name changes nothing. */
export function showTab(name) {
  if (!tabs.some((tab) => tab.id === `tab-${name}`)) return;
  for (const tab of tabs) {
    const selected = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", selected);
    tab.tabIndex = selected ? 0 : -1;
    document.getElementById(tab.getAttribute("aria-controls")).hidden = !selected;
  }
}
