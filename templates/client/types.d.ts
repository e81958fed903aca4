/** Names of the client's types, for `tsc` and editors; browsers never see this file. */

type View = import('./view.js').View;
type List = import('./list.js').List;
type Widget = import('./bind.js').Widget;
type Reveal = import('./reveal.js').Reveal;

/** What page scripts may read of a variable (F38). */
interface Variable {
  varId: number;
  parentId?: number;
  value?: any;
  properties: Properties;
  widget?: Widget;
}
type Properties = Record<string, string>;
type Observer = (variable: Variable, value: any, properties: Properties | undefined) => void;
interface Failure {
  code: string;
  description: string;
}
/** What shows a variable. */
interface Owner {
  getElement(): Element | null | undefined;
}
/** Counts creates without an answer. */
interface Wait {
  open: number;
}
interface Entry {
  record: Variable;
  owner: Owner | null;
  children?: Set<number>;
  observers?: Set<(...changed: any[]) => void>;
  errorObservers?: Set<(...changed: any[]) => void>;
  exchangeObservers?: Set<(of: number | null) => void>;
  error?: Failure | null;
  wait?: Wait | null;
  /** The number of its last write, and of the last that the server has told of. */
  seq?: number;
  told?: number;
  /** What the server has sent since, but before it knew of the last write. */
  late?: any;
  /** The value last heard from the server. */
  known?: any;
  of?: number | null;
}

/** A binding attribute's `PATH?QUERY` (F59 to F64). */
interface Spec {
  path: string;
  properties: Properties;
}
/** How `ui-value` treats an element (F89). */
interface Kind {
  shows: 'value' | 'checked' | 'selected' | 'radio' | 'text' | 'custom' | 'none';
  /** Events that commit an edit. */
  commit: string | undefined;
  /** Events that commit with `keypress`. */
  typing: string;
  editable: boolean;
}
interface Binding {
  varId: number;
  apply?: (value: any) => void;
  end?: () => void;
  /** Sends what was edited and not yet sent. */
  commit?: () => void;
  /** Changes an attribute, and shows the value again if that matters to it. */
  refit?: (attribute: string, change: () => void) => void;
}

/** A root node of a view, or what stands in the place of one (F112, F144). */
type Part = Node | View | import('./bind.js').Replacement;

/** What a person did to an element (F178). */
interface State {
  /** What they changed, by property. */
  changes: Record<string, any>;
  /** What they entered and nobody has sent. */
  edit?: any;
  focus?: boolean;
  caret?: [number, number, any];
  scroll?: [number, number];
}
/** A place in text. */
interface Spot {
  from: Element;
  way: number[];
  offset: number;
}
/** What a person did in one rendering, to be done in the next. */
interface Kept {
  states: Map<Element, State>;
  names: Map<Element, string[]>;
  /** Of the elements with names. */
  tags: Set<string>;
  /** Both ends of what is selected, if they are in it. */
  selection: Spot[];
  clicks: Element[];
}

/** What of the session's data gave way to an edit of the file (H49). */
interface Loss {
  key: string;
  text: string;
  /** Of the save; greater in later ones. */
  time: number;
}

/** An error in a file of the site (H100). */
interface Problem {
  key: string;
  line?: number;
  message: string;
  excerpt?: string;
}
