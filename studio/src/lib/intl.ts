// The browser's formatters, each made once: making one takes longer than a card of the library.

type Make<Options, Made> = (language: string | undefined, options?: Options) => Made;

function once<Options, Made>(make: Make<Options, Made>): Make<Options, Made> {
  const made = new Map<string, Made>();
  return (language, options) => {
    const key = `${language} ${JSON.stringify(options)}`;
    const known = made.get(key);
    if (known) return known;
    const fresh = make(language, options);
    made.set(key, fresh);
    return fresh;
  };
}

export const numberFormat = once(
  (language, options?: Intl.NumberFormatOptions) => new Intl.NumberFormat(language, options),
);
export const dateFormat = once(
  (language, options?: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(language, options),
);
export const relativeFormat = once(
  (language, options?: Intl.RelativeTimeFormatOptions) =>
    new Intl.RelativeTimeFormat(language, options),
);
export const pluralRules = once((language) => new Intl.PluralRules(language));
