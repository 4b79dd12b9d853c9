/** Drawing: strokes of a pen, a photo or a sample, and what the network gets of it. */

const sheetOfPaper = { strokes: [], background: null, photo: null, sample: null };
/** The longer side of the sheet in pixels. */
const PAPER = 280;

function setUpDrawing() {
    const canvas = find("paper");
    const [height, width] = content.image_shape;
    canvas.width = Math.round((PAPER * width) / Math.max(height, width));
    canvas.height = Math.round((PAPER * height) / Math.max(height, width));
    [find("seen").height, find("seen").width] = [height, width];
    find("seen-size").textContent = `${height} × ${width}`;
    find("normalise").checked = content.digits;
    find("normalise").closest("label").hidden = height !== SIDE || width !== SIDE;
    let stroke = null;
    const place = (event) => {
        const box = canvas.getBoundingClientRect();
        return [
            ((event.clientX - box.left) / box.width) * canvas.width,
            ((event.clientY - box.top) / box.height) * canvas.height,
        ];
    };
    const move = (event) => {
        const events = event.getCoalescedEvents?.() ?? [];
        const before = stroke.points.length;
        for (const each of events.length ? events : [event]) stroke.points.push(place(each));
        inkStroke(canvas.getContext("2d"), { ...stroke, points: stroke.points.slice(before - 1) });
        look(true);
    };
    canvas.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        canvas.setPointerCapture(event.pointerId);
        stroke = { width: Number(find("pen").value), points: [place(event)] };
        // The label of a sample, or of the drawing before, says nothing about a new drawing.
        if (sheetOfPaper.sample !== null || !sheetOfPaper.strokes.length) state.labelled = false;
        sheetOfPaper.strokes.push(stroke);
        Object.assign(sheetOfPaper, { photo: null, sample: null });
        move(event);
    });
    canvas.addEventListener("pointermove", (event) => stroke && move(event));
    for (const end of ["pointerup", "pointercancel"]) {
        canvas.addEventListener(end, () => {
            if (stroke) redraw(); // one line, where its parts overlapped while it was drawn
            stroke = null;
        });
    }
    find("undo").addEventListener("click", () => {
        sheetOfPaper.strokes.pop();
        redraw();
    });
    find("clear").addEventListener("click", () => newSheet());
    find("normalise").addEventListener("change", () => look(false));
    find("photo").addEventListener("change", (event) => readPhoto(event.target.files[0]));
    document.addEventListener("paste", (event) => readPhoto(event.clipboardData.files[0]));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
        event.preventDefault();
        readPhoto(event.dataTransfer.files[0]);
    });
    find("samples").append(...Array.from({ length: content.sizes[0] }, (_, index) => {
        const label = content.class_names[content.labels[index]];
        const shown = inked(imageAt(index));
        shown.setAttribute("aria-hidden", "true");
        return button(shown, () => pickSample(index), {
            "aria-label": `Test image ${index + 1}: ${label}`, title: label,
        });
    }));
}

/** The grey levels of one of the page's images. */
function imageAt(index) {
    const size = count(content.image_shape);
    return content.pixels.subarray(index * size, (index + 1) * size);
}

/** Paper with a picture on it: a sample, or the ink of a photo in all its pixels. */
function newSheet({ background = null, photo = null, sample = null } = {}) {
    Object.assign(sheetOfPaper, { strokes: [], background, photo, sample });
    Object.assign(state, { piece: 0, labelled: sample !== null });
    say(find("said"), "");
    redraw();
}

function pickSample(index) {
    state.label = content.labels[index];
    newSheet({ background: inked(imageAt(index)), sample: index });
}

function inkStroke(context, { width, points }) {
    context.lineWidth = width;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...points[0]);
    for (const point of points) context.lineTo(...point);
    context.stroke();
}

/** The whole sheet anew: after undo, clear, a photo. */
function redraw() {
    const canvas = find("paper");
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (sheetOfPaper.background) {
        context.drawImage(sheetOfPaper.background, 0, 0, canvas.width, canvas.height);
    }
    for (const stroke of sheetOfPaper.strokes) inkStroke(context, stroke);
    look(false);
}

/** How opaque each pixel of the sheet is: its ink. */
function inkOf(canvas) {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const ink = sheet(canvas.height, canvas.width);
    for (let i = 0; i < ink.data.length; i++) ink.data[i] = data[4 * i + 3];
    return ink;
}

/** The images that the network gets of the sheet: lines of digits, or one image. */
function imagesOn({ sample, photo }) {
    if (sample !== null) return [[imageAt(sample)]];
    const ink = photo ?? inkOf(find("paper"));
    if (!find("normalise").checked) return [[shrunk(ink, ...content.image_shape)]];
    const lines = digitsOn(ink);
    return lines.flat().length > 1 ? lines.map((line) => line.map(normalise)) : [[normalise(ink)]];
}

/** What the network gets of the sheet. While the pen is down, only the answer follows. */
function look(drawing) {
    state.lines = imagesOn(sheetOfPaper);
    state.sample = sheetOfPaper.sample;
    choosePiece(Math.min(state.piece, state.lines.flat().length - 1), drawing);
}

/** Which of several digits the bars and all that follows are about. */
function choosePiece(index, drawing = false) {
    if (index !== state.piece) state.labelled = false;
    state.piece = index;
    state.pixels = state.lines.flat()[index];
    paint(find("seen"), state.pixels, 255, INK);
    showAnswers();
    if (!drawing) showRest();
}
