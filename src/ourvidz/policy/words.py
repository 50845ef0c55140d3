# ruff: noqa: RUF001, E501
"""The words that the shipped rule knows: clinical, and no more than it needs.

Regular expressions in lower case, without capturing groups, matched against whole words. ``~`` is
a gap (spaces or hyphens), ``~?`` a gap or nothing. Latin words are written without accents where
that makes no other word (nina is a name, so the Spanish word for a girl keeps its tilde).
"girl" alone is no minor: it is said of grown women, and of them most often where prompts are
sexual. "boy" alone is one.
"""

from __future__ import annotations

# Name a minor by themselves.
MINOR: tuple[str, ...] = (
    # English
    r"child(?:ren)?(?:'s)?", "childlike", r"kids?", r"kiddos?", r"kiddies?", r"kiddy",
    r"toddlers?", r"infants?", r"bab(?:y|ies)", r"newborns?", r"neonates?",
    r"preschoolers?", r"kindergart(?:en|ens|ners?|eners?)", r"pre~?teens?", r"pre~?teenagers?",
    r"tweens?", r"tweenies?", r"teens?", r"teenie", r"teenagers?", r"teenaged?", r"teeny~?boppers?",
    r"adolescents?", r"adolescence", r"juveniles?", r"under~?aged?", r"minors?",
    r"pre~?pubescents?", r"pre~?puberty", r"pubescents?", r"prepubertal",
    r"school~?(?:girl|boy|child|kid|children)(?:s)?", r"school~?aged?",
    r"(?:little|young|small|tiny|wee|baby)~(?:girl|boy|lad|lass|lassie)s?",
    r"(?:girl|boy)~child(?:ren)?", r"boys?", r"boyhood", r"girlhood", r"childhood",
    r"(?:very|extremely|too)~young", r"barely~legal", r"jail~?bait", r"loli(?:s|ta|tas)?",
    r"shotas?", r"sweet~sixteen", r"not~of~legal~age", r"under~legal~age", r"below~legal~age",
    r"(?:elementary|primary|middle|grade|high|junior~high|nursery)~?school(?:s|er|ers)?",
    r"junior~high", r"pre~?school", r"cub~scouts?", r"girl~scouts?", r"boy~scouts?",
    r"(?:1st|2nd|3rd|[4-9]th|1[0-2]th)~grade(?:r|rs)?",
    r"(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth)"
    r"~grade(?:r|rs)?",
    r"grade~(?:[1-9]|1[0-2])~(?:pupil|student|girl|boy)s?",
    r"year~(?:[1-9]|1[0-3])~(?:pupil|student|girl|boy)s?", r"school~pupils?",
    r"[0-9]{1,3}~?(?:kids?|child|children|teens?|toddlers?)",
    # Spanish, Portuguese, Italian
    r"niñ[oa]s?", r"niñit[oa]s?", r"chiquill[oa]s?", r"bebes?", r"infantil(?:es)?",
    r"(?:una?|uma?|niña)~menor", r"menores", r"menor(?:es)?~de~(?:edad|idade)", r"adolescentes?", r"colegialas?", r"escolares",
    r"crianças?", r"criancas?", r"criancinhas?", r"menin[oa]s?", r"meninh[oa]s?", r"garotinh[oa]s?",
    r"bambin[oaie]", r"ragazzin[oaie]", r"minorenn[ei]", r"neonat[oaie]", r"adolescenti",
    # French
    r"enfants?", r"fillettes?", r"garçonnets?", r"garconnets?", r"mineure?s?", r"bebes?",
    r"petite?s?~(?:filles?|garcons?|garçons?)", r"jeunes?~(?:garcons?|garçons?)",
    r"collegien(?:ne)?s?", r"lyceen(?:ne)?s?", r"ecolier(?:e)?s?", r"nourrissons?",
    # German
    r"kinder[ns]?", r"kind(?:es|lich(?:e[nrsm]?)?)", r"kleinkind(?:er|ern|es)?",
    r"(?:ein|das|dem|jedes|kleines|junges|nacktes|nackte)~kind", r"minderjährige?[nrms]?",
    r"minderjaehrige?[nrms]?", r"minderjahrige?[nrms]?", r"jugendliche[nrms]?", r"säuglinge?n?",
    r"schulm(?:ä|ae|a)dchens?", r"sch(?:ü|ue|u)ler(?:in|innen|s)?", r"teenagern",
    r"(?:kleines?|junges?|kleinen|kleine)~m(?:ä|ae|a)dchens?",
    r"(?:kleiner?|kleinen)~jungen?",
    # Russian
    r"реб[её]н(?:ок|ка|ку|ком|ке)", r"дет(?:и|ей|ям|ьми|ях)", r"детск\w{2,3}", r"девоч(?:к\w{1,3}|ек)",
    r"мальчи(?:к\w{0,3})", r"несовершеннолетн\w{2,3}", r"подрост(?:ок|к\w{1,3})",
    r"школьни(?:к\w{0,3}|ц\w{1,3})", r"младен\w{2,4}", r"малыш\w{0,3}", r"малолетн\w{2,3}",
)  # fmt: skip

# Languages that put no spaces between words: found anywhere.
MINOR_UNSPACED: tuple[str, ...] = (
    "儿童", "兒童", "孩子", "小孩", "孩童", "幼女", "幼童", "幼儿", "幼兒", "未成年", "萝莉", "蘿莉",
    "小女孩", "小男孩", "婴儿", "嬰兒", "宝宝", "小学生", "小學生", "初中生", "高中生", "中学生",
    "中學生", "女童", "男童", "少女", "少年", "正太", "学童",
    "子供", "子ども", "こども", "コドモ", "児童", "幼児", "幼稚園児", "園児", "ロリ", "ショタ",
    "高校生", "女子高", "女子中学", "赤ちゃん", "赤ん坊", "未成人", "小さな女の子", "小さい女の子",
    "小さな男の子", "小さい男の子", "ティーンエイジャー", "乳児",
)  # fmt: skip

# Make a text sexual by themselves.
SEXUAL: tuple[str, ...] = (
    # English
    r"sex", r"sexes", r"sexed", r"sexing", r"sexual", r"sexually", r"sexuali[sz](?:e|ed|ing|ation)",
    r"sexuality", r"sexy", r"sexi(?:er|est|ly|ness)", r"sexting", r"hyper~?sexual(?:i[sz]ed)?",
    r"nudes?", r"nudity", r"nudism", r"nudists?", r"naked", r"nakedness", r"nekkid",
    r"(?:semi|half|fully|partly|partially)~(?:nude|naked|undressed|clothed)",
    r"topless", r"bottomless", r"unclothed", r"undress(?:ed|es|ing)?", r"disrobed?", r"disrobing",
    r"(?:without|wearing~no|no|removed|removing)~(?:any~)?(?:clothes|clothing|garments)",
    r"wearing~nothing", r"not~wearing~anything", r"clothes~off", r"strip~?teases?",
    r"(?:takes?|taking|took)~off~(?:her|his|their|all)~(?:\w+~)?(?:clothes|clothing)",
    r"stripp(?:ed|ing)~(?:naked|nude|down|off)", r"in~(?:(?:her|his|their|only|just)~)+underwear",
    r"(?:only|just)~underwear", r"panties", r"thongs?", r"lingerie", r"garter~belts?",
    r"erotic(?:a|ism|ally)?", r"porn\w{0,12}", r"pr0n", r"nsfw", r"xxx", r"x~rated", r"hentai",
    r"ecchi", r"ahegao", r"rule~?34", r"lewd(?:ly|ness)?", r"lascivious(?:ly)?", r"obscene",
    r"explicit~(?:image|photo|photograph|picture|video|scene|content|act|pose|material|drawing)s?",
    r"adult~(?:film|video|movie|content)s?", r"sensual(?:ly|ity)?", r"seductive(?:ly)?",
    r"seduc(?:e|es|ed|ing|tion)", r"provocative~(?:pose|posing|outfit|clothing)s?",
    r"(?:suggestive|sultry)~(?:pose|posing|look|manner)s?", r"posing~(?:suggestively|provocatively)",
    r"aroused", r"arousal", r"horny", r"lustful(?:ly)?", r"fetish(?:es|istic)?", r"kinky",
    r"bdsm", r"bondage", r"dominatrix", r"masturbat(?:e|es|ed|ing|ion)", r"orgasm\w{0,3}",
    r"climaxing", r"ejaculat\w{1,4}", r"semen", r"cumshots?", r"cumming", r"erections?",
    r"genitals?", r"genitalia", r"private~parts", r"penis(?:es)?", r"phallus", r"vaginas?",
    r"vaginal", r"vulvas?", r"labia", r"clitoris", r"testicles?", r"scrotum", r"pubic", r"crotch",
    r"anus", r"anal", r"nipples", r"areolas?", r"areolae",
    r"(?:bare|exposed|naked|large|big|huge|visible)~(?:breasts?|chest|buttocks|bottom|nipple|bum)",
    r"boobs?", r"tits", r"titties", r"puss(?:y|ies)~(?:visible|exposed|shot)", r"buttocks",
    r"intercourse", r"coitus", r"copulat(?:e|es|ed|ing|ion)", r"fellatio", r"cunnilingus",
    r"blow~?jobs?", r"hand~?jobs?", r"deep~?throat", r"oral~sex", r"sodom(?:y|i[sz]ed?)",
    r"penetrated~by", r"being~penetrated", r"penetrative", r"making~love", r"make~love",
    r"fuck(?:s|ed|ing|er)?", r"gang~?bangs?", r"threesomes?", r"org(?:y|ies)", r"incest(?:uous)?",
    r"rape[sd]?", r"raping", r"rapist", r"molest\w{0,5}", r"grop(?:ed|ing)", r"fondl(?:ed|ing|es)",
    r"prostitut\w{1,4}", r"strippers?", r"strip~club", r"pole~dancing", r"sluts?", r"slutty",
    r"whores?", r"escort~service", r"only~?fans", r"up~?skirts?", r"spread(?:ing)?~(?:her|his|their)"
    r"~legs", r"spread~legs", r"legs~(?:spread|apart)", r"yiff", r"futanari", r"voyeur\w{0,4}", r"peeping",
    # Spanish, Portuguese, Italian
    r"desnud\w{1,6}", r"sexo", r"sexuales", r"sexuais", r"sexualmente", r"erotic[oaie]s?",
    r"eroticamente", r"sin~ropa", r"sem~roupa", r"senza~vestiti", r"pelad[oa]s?", r"nuas?", r"nus",
    r"nud[oaie]", r"nudit[aà]", r"sesso", r"sessuale?i?", r"sessualmente", r"sensuale?s?", r"ropa~interior",
    r"lencería", r"lenceria", r"calcinha", r"masturb\w{2,8}", r"masturbación", r"violad[oa]s?",
    r"estuprad[oa]s?", r"en~cueros",
    # French
    r"nues?", r"nu", r"denud[ee]e?s?", r"sexuel(?:le)?s?", r"sexuellement", r"erotiques?",
    r"deshabille?e?s?", r"sans~vetements", r"fesses", r"seins~nus", r"viole?e?~par", r"dessous~sexy",
    r"(?:enfant|garcon|garçon|bebe|mineur|menino|garoto|criança)s?~nus?",
    # German
    r"nackt(?:e[nrsm]?)?", r"nacktheit", r"unbekleidet(?:e[nrsm]?)?", r"entkleidet(?:e[nrsm]?)?",
    r"ausgezogen(?:e[nrsm]?)?", r"sexuell(?:e[nrsm]?)?", r"erotisch(?:e[nrsm]?)?", r"erotik",
    r"ohne~kleidung", r"geschlechtsverkehr", r"reizw(?:ä|ae|a)sche", r"unterw(?:ä|ae|a)sche",
    r"masturbiert", r"vergewaltig\w{1,4}", r"geschlechtsteile?",
    # Russian
    r"гол(?:ый|ая|ое|ые|ого|ой|ых|ую|ым|ыми)", r"обнаж[её]н\w{1,5}", r"обнажен\w{1,5}", r"секс\w{0,10}",
    r"порно\w{0,10}", r"эрот\w{2,8}", r"раздет\w{1,3}", r"без~одежды", r"нагиш[оa]м", r"наг(?:ой|ая|ие|их)",
    r"мастурб\w{3,8}", r"интимн\w{2,3}", r"половой~акт",
)  # fmt: skip

SEXUAL_UNSPACED: tuple[str, ...] = (
    "裸", "色情", "性爱", "性愛", "性交", "性感", "情色", "性行为", "性行為", "做爱", "做愛", "自慰",
    "强奸", "強姦", "没穿衣服", "沒穿衣服", "不穿衣服", "脱光", "生殖器", "性器", "阴茎", "阴道", "三级片",
    "淫", "成人片", "内衣", "內衣", "ヌード", "全裸", "セックス", "エロ", "ポルノ", "性的", "下着", "官能",
    "服を着ていない", "服を脱", "パンツ一枚", "オナニー", "アダルトビデオ", "わいせつ", "猥褻", "エッチ",
)  # fmt: skip

# Name both at once: refused wherever they stand.
ALONE: tuple[str, ...] = (
    r"csam", r"csem", r"(?:child|kid|kiddie|kiddy|teen|preteen|toddler|infant)~?porn\w{0,8}",
    r"lolicon", r"shotacon", r"toddlercon", r"pthc", r"pedo~?porn", r"p(?:a)?edophil\w{1,4}",
    r"pederast\w{0,3}", r"jail~?bait", r"child~(?:molest\w{0,5}|erotica|sexual~abuse~material)",
    r"pedofil\w{1,4}", r"pädophil\w{0,4}", r"kinderporno\w{0,10}", r"kinderpornografie",
    r"pédopornographi\w{1,4}", r"pedopornogra\w{1,6}", r"pornograf[ií]a~infantil",
    r"педофил\w{0,4}", r"детск\w{2}~порно\w{0,8}",
)  # fmt: skip
ALONE_UNSPACED: tuple[str, ...] = ("儿童色情", "兒童色情", "児童ポルノ", "恋童", "戀童", "ロリコン", "ショタコン", "炼铜")  # fmt: skip

# Phrases in which a word above means something else; taken out before looking.
HARMLESS: tuple[str, ...] = (
    r"sex~?ed(?:ucation)?(?:al)?", r"sexual~(?:education|health|reproduction)", r"same~sex", r"opposite~sex", r"either~sex", r"both~sexes",
    r"sex~pistols", r"unisex", r"sex~of~(?:the|a|an|her|his|their)~(?:baby|child|fetus|foetus|animal)",
    r"naked~mole~rats?", r"naked~eyes?", r"naked~truth", r"naked~flames?", r"naked~trees?", r"naked~(?:swords?|blades?|steel)", r"nu~metal",
    r"naked~branches", r"naked~juice", r"naked~(?:cake|bulb|light~bulb)s?",
    r"nude~(?:colou?r(?:ed)?~(?:dress|gown|shoes|sandals|heels)|lipsticks?|heels|pumps|nail~polish)",
    r"topless~(?:car|jeep|convertible|bus|mountain|tower)s?", r"bondage~of~sin",
    r"peeping~(?:through|out|over|from|around|behind|into|above)", r"peeping~frogs?",
    r"baby~(?:animal|elephant|goat|bird|panda|cat|dog|grand|blue|pink|oil|shark|corn|carrots?|spinach"
    r"|powder|boomers?|doll~(?:dress|nightgown))s?",
    r"(?:new|space|ice|stone|bronze|iron|golden|middle|dragon|jazz|modern|information)~age",
    r"cow~?boys?", r"bell~?boys?", r"play~?boys?", r"boy~(?:bands?|friends?|george)", r"boyfriends?",
    r"(?:beach|backstreet|pet~shop|beastie)~boys", r"game~?boys?",
    r"old~boys~(?:club|network)", r"boys~(?:in~blue|club)",
    r"kid~(?:gloves|leather|rock|cudi)", r"new~kids~on~the~block", r"billy~the~kid", r"karate~kid",
    r"inner~child", r"brain~?child", r"kinder~(?:egg|bueno)s?",
    r"kinder~(?:than|world|heart|face|eyes|words|and~gentler|gentler)",
    r"minor~(?:details?|issues?|changes?|roles?|characters?|imperfections?|adjustments?|flaws?"
    r"|damage|injur(?:y|ies)|planets?|tones?|scratch(?:es)?|third|edits?|variations?|wrinkles?)",
    r"[b-g](?:~(?:flat|sharp))?~minor", r"a~(?:flat|sharp)~minor",
    r"(?:in|key~of|sonata|concerto|prelude|etude|fugue|chord)~a~minor",
    r"(?:asia|ursa|canis|leo)~minor",
    r"minors?~(?:leagues?|keys?|scales?|chords?)", r"high~school~musical",
    r"(?:under|below)~the~age~of~(?:reason|enlightenment)",
    r"(?:no~one|nobody|none|never|no~person|not~anyone|not)~(?:is~|are~)?(?:under|below|younger~than)"
    r"~(?:the~age~of~)?(?:18|eighteen)",
    r"(?:no|without(?:~any)?|zero)~(?:children|kids|minors|teens|teenagers)", r"teen~?spirit",
    r"child~(?:seat|safety|support|proof(?:ed)?|lock)s?", r"child~?free", r"kid~?free",
)  # fmt: skip

# What may be years old without being a person; an age right before one of these is not looked at.
OLD_THINGS: tuple[str, ...] = (
    r"single~malt", r"whisk(?:e)?y", r"scotch", r"bourbon", r"rum", r"cognac", r"brandy", r"wines?", r"cheese",
    r"cheddar", r"cars?", r"sedan", r"truck", r"motorcycles?", r"house", r"building", r"mansion",
    r"castle", r"church", r"company", r"business", r"marriage", r"trees?", r"oak", r"vineyard",
    r"dogs?", r"cats?", r"horses?", r"mare", r"stallion", r"labrador", r"pupp(?:y|ies)", r"kittens?",
    r"foals?", r"lambs?", r"laptop", r"computer", r"tradition", r"yacht", r"barn", r"beard",
    r"stubble", r"bread", r"newspaper",
)  # fmt: skip

# Numbers below 18 in words, by language; Latin ones without accents.
NUMBERS: dict[str, tuple[str, ...]] = {
    "en": ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
           "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    "es": ("dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once", "doce",
           "trece", "catorce", "quince", "dieciseis", "diecisiete"),
    "pt": ("dois", "quatro", "sete", "oito", "nove", "dez", "onze", "doze", "treze", "quatorze",
           "catorze", "quinze", "dezesseis", "dezasseis", "dezessete", "dezassete"),
    "fr": ("deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze",
           "treize", "quatorze", "quinze", "seize", "dix[- ]sept"),
    "it": ("due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove", "dieci", "undici",
           "dodici", "tredici", "quattordici", "quindici", "sedici", "diciassette"),
    "de": ("zwei", "drei", "vier", "funf", "fuenf", "sechs", "sieben", "acht", "neun", "zehn", "elf",
           "zwolf", "zwoelf", "dreizehn", "vierzehn", "funfzehn", "fuenfzehn", "sechzehn", "siebzehn"),
    "ru": ("два", "две", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять", "десять",
           "одиннадцать", "двенадцать", "тринадцать", "четырнадцать", "пятнадцать", "шестнадцать",
           "семнадцать"),
}  # fmt: skip

# Whole plain words, for what was spread out, split or starred.
PLAIN_MINOR: tuple[str, ...] = (
    "child", "children", "kids", "kid", "teen", "teens", "teenage", "teenager", "minor", "minors",
    "underage", "toddler", "infant", "preteen", "loli", "shota", "baby", "boy", "schoolgirl",
    "schoolboy",
)  # fmt: skip
PLAIN_SEXUAL: tuple[str, ...] = (
    "nude", "nudes", "nudity", "naked", "sex", "sexual", "sexy", "porn", "porno", "erotic", "erotica",
    "hentai", "xxx", "nsfw", "penis", "vagina", "pussy", "fuck", "fucking", "topless", "orgasm",
    "lingerie",
)  # fmt: skip
