// What shows a job's files and what people think of them; shared by the views.
export { AssetView, type AssetViewProps } from "@/media/asset-view";
export { expiresSoon, isVideo, useFreshAsset } from "@/media/assets";
export { DefectButton } from "@/media/defect-button";
export { DefectTags } from "@/media/defect-tags";
export { deliveredFacts, type Fact, madeIn, settingFacts, workPhases } from "@/media/facts";
export { FavouriteButton } from "@/media/favourite";
export { FactList, JobFacts } from "@/media/job-facts";
export { DEFECTS, type Defect, useRate } from "@/media/rating";
export { Stars } from "@/media/stars";
export { Thumbnail } from "@/media/thumbnail";
