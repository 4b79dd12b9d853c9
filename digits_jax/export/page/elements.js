/** Elements of the page, and numbers as people read them. */

const find = (id) => document.getElementById(id);

/** An element; attributes that are functions are listeners. @returns {HTMLElement} */
function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (typeof value === "function") made.addEventListener(name, value);
        else if (value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children);
    return made;
}

const button = (text, press, attributes = {}) =>
    element("button", { type: "button", click: press, ...attributes }, text);

const paragraph = (...children) => element("p", {}, ...children);
const quiet = (...children) => element("p", { class: "quiet" }, ...children);
const heading = (text) => element("h3", {}, text);

const SUPERSCRIPTS = { "-": "⁻", "+": "", ...[..."⁰¹²³⁴⁵⁶⁷⁸⁹"] };

/** A number with so many digits: 0.0123, −4.56, 7.89·10⁻⁵. */
function written(x, digits = 3) {
    if (!Number.isFinite(x)) return "not a number";
    if (x === 0) return "0";
    const size = Math.abs(x);
    if (size >= 1e-3 && size < 1e5) return x.toPrecision(digits).replace("-", "−");
    const [factor, power] = x.toExponential(digits - 1).split("e");
    const raised = power.replace(/./g, (sign) => SUPERSCRIPTS[sign]);
    return `${factor.replace("-", "−")}·10${raised}`;
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** A table that scrolls within its box; the first column names the rows. */
function table(caption, head, rows) {
    return element("div", { class: "box", tabindex: 0, role: "group", "aria-label": caption },
        element("table", {},
            element("caption", {}, caption),
            element("thead", {}, element("tr", {},
                ...head.map((cell) => element("th", { scope: "col" }, cell)))),
            element("tbody", {}, ...rows.map(([first, ...rest]) => element("tr", {},
                element("th", { scope: "row" }, String(first)),
                ...rest.map((cell) =>
                    element("td", {}, typeof cell === "number" ? written(cell) : cell)))))));
}

/** One of several: radio buttons in a row. Returns the group and a function that chooses (null: none). */
function choices(legend, names, chosen) {
    const name = legend.replace(/\W+/g, "-");
    const radios = names.map((text, index) => element("input", {
        type: "radio", name, value: index, change: () => chosen(index),
    }));
    const group = element("fieldset", { class: "choices" }, element("legend", {}, legend),
        ...radios.map((radio, index) => element("label", {}, radio, names[index])));
    return [group, (index) => radios.forEach((radio, k) => (radio.checked = k === index))];
}

/**
 * Bars, one a name: the element, and a function that shows shares (null: none), marks one of them
 * and writes them as `text(share, index)`.
 */
function bars(names, label) {
    const rows = names.map((name) => {
        const bar = element("span", { class: "bar" });
        const share = element("span", { class: "share" });
        const track = element("span", { class: "track" }, bar);
        return { bar, share, row: element("li", {}, element("span", {}, name), track, share) };
    });
    const list = element("ol", { class: "bars", "aria-label": label }, ...rows.map((r) => r.row));
    const show = (shares, marked, text = percent) => rows.forEach(({ bar, share, row }, k) => {
        bar.style.width = shares ? `${100 * shares[k]}%` : 0;
        share.textContent = shares ? text(shares[k], k) : "–";
        row.classList.toggle("marked", k === marked);
    });
    return [list, show];
}

/** The index of the largest value. */
const argmax = (values) => values.reduce((best, value, k) => (value > values[best] ? k : best), 0);
