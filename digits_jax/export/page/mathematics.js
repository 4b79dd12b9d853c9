/**
 * Formulas as MathML, from a notation that reads like them:
 * frac{∂C}{∂W^l} = δ^l (a^{l-1})^T, with "quoted" numbers.
 */

const TOKEN = /\s*("[^"]*"|frac|[a-z]{2,}|[A-Za-zΑ-Ωα-ω∂]'?|[\d.]+|\S)/gu;

/** @param {string} tag @param {...(Element|string)} children */
function math(tag, ...children) {
    const made = document.createElementNS("http://www.w3.org/1998/Math/MathML", tag);
    made.append(...children);
    return made;
}

/** A formula that stands in a line of its own. @param {string} text */
function formula(text) {
    const tokens = [...text.matchAll(TOKEN)].map(([, token]) => token);

    function atom() {
        const token = tokens.shift();
        if (token === "{") {
            const group = row("}");
            tokens.shift();
            return group;
        }
        if (token === "frac") return math("mfrac", atom(), atom());
        if (token[0] === '"') return math("mn", token.slice(1, -1));
        if (/^[\d.]/.test(token)) return math("mn", token);
        if (/^[\p{L}∂]/u.test(token)) return math("mi", token.replace("'", "′"));
        return math("mo", token.replace("-", "−"));
    }
    function scripted() {
        const base = atom();
        const scripts = {};
        while (tokens[0] === "_" || tokens[0] === "^") scripts[tokens.shift()] = atom();
        const { _: below, "^": above } = scripts;
        if (below && above) return math("msubsup", base, below, above);
        if (below) return math("msub", base, below);
        return above ? math("msup", base, above) : base;
    }
    function row(end) {
        const parts = [];
        while (tokens.length && tokens[0] !== end) parts.push(scripted());
        return math("mrow", ...parts);
    }
    const made = math("math", row());
    made.setAttribute("display", "block");
    return element("div", { class: "formula", tabindex: 0, role: "group", "aria-label": text
        .replaceAll('"', "") }, made);
}
