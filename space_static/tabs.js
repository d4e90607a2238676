// Tabs: https://www.w3.org/WAI/ARIA/apg/patterns/tabs/

const tabs = [...document.querySelectorAll("[role=tab]")];

/** Clicks and arrow keys select a tab. */
export function connectTabs() {
  tabs.forEach((tab, index) => {
    tab.onclick = () => (location.hash = tab.id.replace("tab-", ""));
    tab.onkeydown = ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
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
